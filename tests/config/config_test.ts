import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ConfigError } from "../../lib/errors.ts";
import {
  CONFIG_KEYS,
  type ConfigLayer,
  parseConfig,
  parseConfigLayer,
  PRESET_NAMES,
  resolveConfig,
} from "../../lib/train/mod.ts";
import { ROUTER_NAMES } from "../../lib/moe/routers.ts";

function message(input: unknown): string {
  return assertThrows(() => parseConfig(input), ConfigError).message;
}

function layered(...layers: ConfigLayer[]): ReturnType<typeof parseConfig> {
  return resolveConfig(layers.map((layer) => parseConfigLayer(layer)));
}

Deno.test("`parseConfig()` gives the default run for an empty input", () => {
  const { preset, steps, model, moe, data, optimizer, schedule } = parseConfig({});
  assertEquals(preset, "nano");
  assertEquals(steps, 500);
  assertEquals([model.layers, model.hidden, model.heads, model.groups, model.ffn], [
    4,
    128,
    4,
    2,
    512,
  ]);
  assertEquals(model.vocabulary, 257);
  assertEquals(model.init_std, 0.06);
  assertEquals(parseConfig({ preset: "pico" }).model.init_std, 0.01 * Math.sqrt(768 / 64));
  assertEquals([moe.router, moe.experts, moe.active, moe.granularity], ["relu", 8, 1, 1]);
  assertEquals([moe.lambda0, moe.alpha, moe.lambda_floor, moe.lambda_ceiling], [
    1e-8,
    1.2,
    1e-10,
    1e4,
  ]);
  assertEquals([data.batch, data.sequence, data.micro_batch], [16, 256, 16]);
  assertEquals([optimizer.lr, optimizer.beta1, optimizer.beta2], [1e-3, 0.9, 0.999]);
  assertEquals([optimizer.weight_decay, optimizer.clip], [0.01, 1]);
  assertEquals([schedule.warmup, schedule.final_ratio], [30, 0.1]);
});

Deno.test("`parseConfig()` knows the paper's recipe", () => {
  const sizes = { "182m": [12, 768, 12], "469m": [24, 1024, 16], "978m": [24, 1536, 16] } as const;
  for (const preset of ["182m", "469m", "978m"] as const) {
    const { model, data, steps, optimizer, schedule } = parseConfig({ preset });
    assertEquals([model.layers, model.hidden, model.heads], [...sizes[preset]]);
    assertEquals([model.groups, model.vocabulary, model.init_std], [4, 51_200, 0.01]);
    assertEquals([data.batch, data.sequence, data.micro_batch], [512, 1024, 16]);
    assertEquals([steps, optimizer.lr, schedule.warmup], [60_000, 5e-4, 600]);
  }
});

Deno.test("`parseConfig()` accepts every preset with every router, and its own result", () => {
  for (const preset of PRESET_NAMES) {
    for (const router of ROUTER_NAMES) {
      const config = parseConfig({ preset, moe: { router } });
      assertEquals(parseConfig(config), config);
      assertEquals(parseConfig(JSON.parse(JSON.stringify(config))), config);
    }
  }
});

Deno.test("`parseConfig()` accepts its own result for any input", () => {
  const sizes = {
    experts: fc.integer({ min: 8, max: 128 }),
    active: fc.integer({ min: 1, max: 8 }),
    granularity: fc.constantFrom(1, 2, 4),
  };
  const layer = fc.record({
    preset: fc.constantFrom(...PRESET_NAMES),
    steps: fc.integer({ min: 1, max: 1e6 }),
    seed: fc.maxSafeNat(),
    moe: fc.oneof(
      fc.record({
        router: fc.constant("relu"),
        ...sizes,
        lambda0: fc.double({ min: 1e-30, max: 1e3, noNaN: true }),
      }, { requiredKeys: [] }),
      fc.record({
        router: fc.constant("topk"),
        ...sizes,
        balance_coefficient: fc.double({ min: 0, max: 1, noNaN: true }),
      }, { requiredKeys: ["router"] }),
    ),
    data: fc.record({
      batch: fc.integer({ min: 1, max: 1000 }),
      sequence: fc.integer({ min: 1, max: 20_000 }),
      paths: fc.array(fc.string({ minLength: 1 })),
    }, { requiredKeys: [] }),
    optimizer: fc.record({
      lr: fc.double({ min: 0, minExcluded: true, max: 10, noNaN: true }),
      beta2: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    }, { requiredKeys: [] }),
    sample: fc.record({ prompt: fc.string({ unit: "binary" }) }, { requiredKeys: [] }),
  }, { requiredKeys: [] });
  fc.assert(fc.property(layer, (input) => {
    const config = parseConfig(input);
    assertEquals(parseConfig(JSON.parse(JSON.stringify(config))), config);
    assertEquals(config.data.batch % config.data.micro_batch, 0);
  }));
});

Deno.test("`parseConfig()` names an unknown key and the nearest known one", () => {
  assertEquals(
    message({ model: { layer: 3 } }),
    "Cannot use the configuration: unknown key model.layer, did you mean model.layers?",
  );
  assert(message({ lr: 3 }).endsWith("unknown key lr, did you mean optimizer.lr?"));
  assert(message({ modle: {} }).endsWith("unknown key modle, did you mean model?"));
  assert(message({ moe: { lamda0: 1 } }).endsWith("did you mean moe.lambda0?"));
  assert(message({ zebra: 1 }).endsWith("unknown key zebra"));
  assert(message(JSON.parse('{"__proto__": {"layers": 3}}')).endsWith("unknown key __proto__"));
});

Deno.test("`parseConfig()` names the key, the value and what is expected", () => {
  const cases: [unknown, string][] = [
    [3, "it is 3, expected a group of keys"],
    [null, "it is null, expected a group of keys"],
    [{ model: [] }, "model is [], expected a group of keys"],
    [{ steps: "ten" }, 'steps is "ten", expected a whole number of at least 1'],
    [{ steps: 1.5 }, "steps is 1.5, expected a whole number of at least 1"],
    [{ steps: 2 ** 31 }, "steps is 2147483648, expected a whole number of at least 1"],
    [{ optimizer: { lr: NaN } }, "optimizer.lr is NaN, expected a number above 0"],
    [
      { optimizer: { beta1: 1 } },
      "optimizer.beta1 is 1, expected a number of at least 0 and below 1",
    ],
    [
      { moe: { router: "top" } },
      `moe.router is "top", expected one of ${ROUTER_NAMES.join(", ")}, or a file like ./router.ts`,
    ],
    [{ data: { paths: ["a", ""] } }, 'data.paths is ["a",""], expected a list of paths'],
    [
      { sample: { prompt: "a\ud800" } },
      'sample.prompt is "a\\ud800", expected a text without half a surrogate pair, which UTF-8 ' +
      "cannot hold",
    ],
    [{ data: { paths: ["\ud800"] } }, 'data.paths is ["\\ud800"], expected a list of paths'],
    [{ moe: { renormalize: 1 } }, "moe.renormalize is 1, expected true or false"],
    [
      { model: { ffn: "big" } },
      'model.ffn is "big", expected a whole number of at least 1, or "auto" (4 * hidden)',
    ],
  ];
  for (const [input, expected] of cases) {
    assertEquals(message(input), `Cannot use the configuration: ${expected}`);
  }
});

Deno.test("`parseConfig()` lists all problems at once", () => {
  assertEquals(
    message({ steps: 0, model: { layers: 0, heds: 2 } }).split("\n").length,
    4,
  );
});

Deno.test("`parseConfig()` uses the caller's source name and labels", () => {
  const error = assertThrows(
    () => parseConfig({ optimizer: { lr: 0 } }, { source: "run.yaml", label: (key) => `<${key}>` }),
    ConfigError,
  );
  assertEquals(
    error.message,
    "Cannot use run.yaml: <optimizer.lr> is 0, expected a number above 0",
  );
});

Deno.test("`parseConfig()` refuses contradictory keys", () => {
  const cases: [unknown, string][] = [
    [{ model: { hidden: 130 } }, "model.hidden is 130, expected a multiple of model.heads (4)"],
    [{ model: { hidden: 12, heads: 4 } }, "model.hidden / model.heads is 3, expected an even size"],
    [{ model: { groups: 3 } }, "model.heads is 4, expected a multiple of model.groups (3)"],
    [{ moe: { granularity: 3 } }, "model.ffn is 512, expected a multiple of moe.granularity (3)"],
    [{ moe: { active: 9 } }, "moe.active is 9, expected at most moe.experts (8)"],
    [{ moe: { lambda_floor: 1 } }, "moe.lambda_floor is 1, expected at most moe.lambda0"],
    [{ moe: { lambda0: 1e5 } }, "moe.lambda_ceiling is 10000, expected above moe.lambda0 (100000)"],
    [{ moe: { router: "topk", renormalize: true } }, "the router would get no gradient"],
    [{ moe: { router: "lory", active: 2 } }, "moe.active is 2, expected 1 with moe.router lory"],
    [{ moe: { router: "lory", granularity: 2 } }, "moe.granularity is 2, expected 1"],
    [
      { moe: { renormalize: true } },
      "moe.renormalize is true, expected to be left out with moe.router relu: only topk reads it",
    ],
    [
      { moe: { router: "topk", alpha: 1.1 } },
      "moe.alpha is 1.1, expected to be left out with moe.router topk: only relu reads it",
    ],
    [{ moe: { router: "dense", balance_coefficient: 0 } }, "moe.balance_coefficient is 0"],
    [{ moe: { router: "dense", lambda_floor: 1e-9 } }, "moe.lambda_floor is 1e-9"],
    [
      { moe: { router: "dense", experts: 8 } },
      "moe.experts is 8, expected 1 with moe.router dense",
    ],
    [{ moe: { router: "dense", active: 2 } }, "moe.active is 2, expected 1"],
    [{ data: { micro_batch: 5 } }, "data.batch is 16, expected a multiple of data.micro_batch (5)"],
    [{ model: { vocabulary: 256 } }, "expected at least the 257 tokens of data.tokenizer byte"],
  ];
  for (const [input, expected] of cases) {
    const text = message(input);
    assert(text.includes(expected), `${text}\nlacks\n${expected}`);
  }
});

Deno.test("`parseConfig()` accepts renormalised gates with two experts per token", () => {
  for (const moe of [{ active: 2 }, { granularity: 2 }]) {
    assert(parseConfig({ moe: { router: "topk", renormalize: true, ...moe } }).moe.renormalize);
  }
});

Deno.test("`resolveConfig()` takes the last layer that names a key", () => {
  const config = layered({ preset: "pico", steps: 10, seed: 4 }, { steps: 20 }, { preset: "nano" });
  assertEquals([config.preset, config.steps, config.seed, config.model.layers], ["nano", 20, 4, 4]);
});

Deno.test("`resolveConfig()` drops a router's settings when a layer switches routers", () => {
  const file = { moe: { router: "relu" as const, lambda0: 1e-6, alpha: 1.1, experts: 16 } };
  const { moe } = layered(file, { moe: { router: "topk" } });
  assertEquals([moe.lambda0, moe.alpha, moe.experts], [1e-8, 1.2, 16]);
  // The same router again, or none, keeps them.
  assertEquals(layered(file, { moe: { router: "relu" } }).moe.alpha, 1.1);
  assertEquals(layered(file, { steps: 3 }).moe.lambda0, 1e-6);
  // Both in one layer contradict each other.
  const error = assertThrows(() => layered({ moe: { router: "topk", alpha: 1.1 } }), ConfigError);
  assertStringIncludes(error.message, "moe.alpha");
});

Deno.test("`resolveConfig()` turns an inherited sparse model dense, and back", () => {
  const dense = layered({ moe: { experts: 16, granularity: 2 } }, { moe: { router: "dense" } });
  assertEquals([dense.moe.experts, dense.moe.active, dense.moe.granularity], [1, 1, 1]);
  const sparse = layered(dense, { moe: { router: "topk" } });
  assertEquals([sparse.moe.experts, sparse.moe.active], [8, 1]);
  const kept = layered({ moe: { experts: 16 } }, { moe: { router: "topk" } });
  assertEquals(kept.moe.experts, 16);
});

Deno.test("`resolveConfig()` recomputes values derived from a changed key", () => {
  const saved = parseConfig({ preset: "182m" });
  assertEquals(layered(saved, { data: { batch: 6 } }).data.micro_batch, 6);
  assertEquals(layered(saved, { data: { batch: 51 } }).data.micro_batch, 3);
  assertEquals(layered(saved, { data: { tokenizer: "byte" } }).model.vocabulary, 257);
  assertEquals(layered(saved, { model: { hidden: 384 } }).model.ffn, 1536);
  assertEquals(layered(saved, { moe: { lambda0: 1e-4 } }).moe.lambda_floor, 1e-6);
  assertEquals(layered(saved, { model: { layers: 6 } }).model.ffn, 3072);
});

Deno.test("`resolveConfig()` derives a value for auto, even over an explicit one", () => {
  const config = layered(
    { model: { ffn: 64, vocabulary: 300, init_std: 1 }, data: { micro_batch: 1 } },
    { model: { ffn: "auto", vocabulary: "auto", init_std: "auto" }, data: { micro_batch: "auto" } },
  );
  assertEquals(config, parseConfig({ model: { init_std: 0.01 * Math.sqrt(768 / 128) } }));
  assertEquals(parseConfig({ model: { vocabulary: 0 } }), parseConfig({}));
  assertEquals(parseConfig({ sample: { prompt: "auto" } }).sample.prompt, "auto");
});

Deno.test("`resolveConfig()` treats undefined as absent", () => {
  const config = layered({ steps: 7, model: { layers: 3 } }, {
    steps: undefined,
    model: { layers: undefined },
  });
  assertEquals([config.steps, config.model.layers], [7, 3]);
});

Deno.test("`CONFIG_KEYS` lists exactly the keys of a configuration", () => {
  const leaves = Object.entries(parseConfig({})).flatMap(([key, value]) =>
    typeof value === "object" && value !== null
      ? Object.keys(value).map((name) => `${key}.${name}`)
      : [key]
  );
  assertEquals(CONFIG_KEYS.map(({ key }) => key).sort(), leaves.sort());
  for (const { expects, description } of CONFIG_KEYS) assert(expects && description);
});
