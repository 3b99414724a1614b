import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parseTrainFlags } from "../../../cli/train/flags.ts";
import { trainRequest } from "../../../cli/train/request.ts";
import { initialDeviation } from "../../../lib/autograd/distributions.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { ROUTER_NAMES } from "../../../lib/moe/routers.ts";
import { parseConfig, RunDirectory, type TrainConfig } from "../../../lib/train/mod.ts";
import { TemporaryFolder } from "../../temporary_folder.ts";

function configOf(args: string[], base = "/base"): TrainConfig {
  return trainRequest(parseTrainFlags(args), base).config;
}

function failure(args: string[], base = "/base"): string {
  return assertThrows(() => configOf(args, base), ConfigError).message;
}

Deno.test("`trainRequest()` returns the default run without flags", () => {
  assertEquals(configOf([]), parseConfig({}));
});

Deno.test("`trainRequest()` maps every flag to its key", () => {
  const config = configOf([
    ...["--preset", "pico", "--router", "topk", "--experts", "16", "--active", "2"],
    ...["--granularity", "4", "--steps", "7", "--batch", "8", "--sequence", "64", "--lr", "2e-3"],
    ...["--seed", "9", "--device", "cpu", "--tokenizer", "gpt2", "--data", "a.txt"],
    ...["--data", "/b", "--out", "run", "--tensorboard"],
  ]);
  const expected = parseConfig({
    preset: "pico",
    moe: { router: "topk", experts: 16, active: 2, granularity: 4 },
    steps: 7,
    data: { batch: 8, sequence: 64, tokenizer: "gpt2", paths: ["/base/a.txt", "/b"] },
    optimizer: { lr: 2e-3 },
    seed: 9,
    device: "cpu",
    out: "/base/run",
    log: { tensorboard: true },
  });
  assertEquals(config, expected);
});

Deno.test("`trainRequest()` puts flags over the file and --set over flags", () => {
  using folder = new TemporaryFolder();
  const files: [string, string][] = [
    ["run.json", '{"preset": "pico", "steps": 10, "seed": 5, "moe": {"experts": 4}}'],
    ["run.jsonc", '{"preset": "pico", /* short */ "steps": 10, "seed": 5, "moe": {"experts": 4},}'],
    ["run.yaml", "preset: pico\nsteps: 10\nseed: 5\nmoe:\n  experts: 4\n"],
    ["run.YML", "preset: pico\nsteps: 1e1\nseed: 5\nmoe: {experts: 4}\n"],
  ];
  for (const [name, text] of files) {
    Deno.writeTextFileSync(`${folder.path}/${name}`, text);
    const config = configOf(
      [
        "--set",
        "moe.experts=2",
        "--set",
        "seed=7",
        "--config",
        name,
        "--steps",
        "20",
        "--seed",
        "6",
      ],
      folder.path,
    );
    assertEquals([config.preset, config.steps, config.seed, config.moe.experts], [
      "pico",
      20,
      7,
      2,
    ]);
  }
});

Deno.test("`trainRequest()` refuses settings of another router, in any order", () => {
  for (const sets of [["moe.alpha=1.1", "moe.router=topk"], ["moe.router=topk", "moe.alpha=1.1"]]) {
    const text = failure(sets.flatMap((set) => ["--set", set]));
    assert(text.includes("moe.alpha is 1.1") && text.includes("moe.router topk"), text);
  }
});

Deno.test("`trainRequest()` resolves a file's paths against its folder", () => {
  using folder = new TemporaryFolder();
  Deno.mkdirSync(`${folder.path}/sub`);
  Deno.writeTextFileSync(`${folder.path}/sub/run.yaml`, "out: mine\ndata: {paths: [../a.txt]}\n");
  const config = configOf(["--config", "sub/run.yaml", "--set", "data.cache=tokens"], folder.path);
  assertEquals(config.out, `${folder.path}/sub/mine`);
  assertEquals(config.data.paths, [`${folder.path}/a.txt`]);
  assertEquals(config.data.cache, `${folder.path}/tokens`);
});

Deno.test("`trainRequest()` parses the values of --set as JSON, else as text", () => {
  const config = configOf([
    ...["--set", "sample.prompt=The state of", "--set", "moe.lambda0=1e-6"],
    ...["--set", "model.ffn=auto", "--set", 'data.paths=["x"]', "--set", "out=null"],
  ]);
  assertEquals(config.sample.prompt, "The state of");
  assertEquals(config.moe.lambda0, 1e-6);
  assertEquals(config.data.paths, ["/base/x"]);
  assertEquals(configOf(["--set", 'sample.prompt="12"']).sample.prompt, "12");
  assertEquals(configOf(["--set", "sample.prompt=a=b"]).sample.prompt, "a=b");
});

Deno.test("`trainRequest()` names the flag, the value and what is expected", () => {
  assertEquals(
    failure(["--lr", "-1e-3"]),
    "Cannot use the flags: --lr is -0.001, expected a number above 0",
  );
  assertEquals(
    failure(["--steps", "many"]),
    "--steps is many, expected a whole number",
  );
  for (const text of ["0x10", "1_000", "NaN", "Infinity", " 5", "5 "]) {
    assert(failure(["--lr", text]).includes(`--lr is ${JSON.stringify(text)}`), text);
  }
  assert(
    failure(["--router", "top"])
      .includes(`--router is "top", expected one of ${ROUTER_NAMES.join(", ")}`),
  );
});

Deno.test("`trainRequest()` names an invalid --set", () => {
  assertEquals(
    failure(["--set", "model.layer=3"]),
    "Cannot use --set model.layer=3: unknown key model.layer, did you mean model.layers?",
  );
  assert(failure(["--set", "steps"]).includes("expected KEY=VALUE, like model.layers=6"));
  assert(failure(["--set", "=3"]).includes("expected KEY=VALUE"));
  assert(failure(["--set", "steps="]).includes('steps is "", expected a whole number'));
  assert(failure(["--set", "model.layers.x=3"]).includes("model.layers is {"));
  assert(failure(["--set", "__proto__.polluted=1"]).includes("unknown key __proto__"));
  assertEquals(({} as { polluted?: number }).polluted, undefined);
});

Deno.test("`trainRequest()` names a file it cannot use", () => {
  using folder = new TemporaryFolder();
  const write = (name: string, text: string): void =>
    Deno.writeTextFileSync(`${folder.path}/${name}`, text);
  write("a.json", '{"steps": }');
  write("b.yaml", "steps: [1\n");
  write("c.json", '{"stepz": 1}');
  write("d.toml", "");
  write("e.yaml", "");
  const fail = (name: string): string => failure(["--config", name], folder.path);
  assert(fail("a.json").startsWith(`Cannot read ${folder.path}/a.json: `));
  assert(fail("b.yaml").startsWith(`Cannot read ${folder.path}/b.yaml: `));
  assertEquals(
    fail("c.json"),
    `Cannot use ${folder.path}/c.json: unknown key stepz, did you mean steps?`,
  );
  assert(fail("d.toml").includes("is not one of .json, .jsonc, .yaml, .yml"));
  assert(fail("none.json").includes("there is no such file"));
  assertEquals(configOf(["--config", "e.yaml"], folder.path), parseConfig({}));
});

Deno.test("`trainRequest()` makes a dense model whatever the preset or file says", () => {
  assertEquals(configOf(["--router", "dense"]).moe.experts, 1);
  assert(failure(["--router", "dense", "--experts", "8"]).includes("moe.experts is 8, expected 1"));
});

Deno.test("`trainRequest()` applies flags over a resumed run's configuration", () => {
  using folder = new TemporaryFolder();
  const saved = parseConfig({ preset: "pico", seed: 4, out: `${folder.path}/run` });
  {
    using directory = RunDirectory.create(saved);
    directory.begin();
  }
  const { config, run } = trainRequest(
    parseTrainFlags(["--resume", "run/", "--steps", "900"]),
    folder.path,
  );
  assertEquals(config, { ...saved, steps: 900 });
  assertEquals(run?.path, `${folder.path}/run`);
  for (const flag of ["--out", "--preset"]) {
    const text = failure(["--resume", "run", flag, "nano"], folder.path);
    assert(text.startsWith(`${flag} cannot go with --resume`));
  }
  assert(failure(["--resume", "none"], folder.path).includes("there is no such folder"));
});

/** The configuration that results from a file of some kind with the given content. */
function withFile(name: string, text: string, args: string[] = []): () => TrainConfig {
  return () => {
    using folder = new TemporaryFolder();
    Deno.writeTextFileSync(`${folder.path}/${name}`, text);
    return configOf(["--config", name, ...args], folder.path);
  };
}

Deno.test("`trainRequest()` merges domain weights from all sources", () => {
  const sets = (...weights: string[]): string[] =>
    weights.flatMap((weight) => ["--set", `data.weights.${weight}`]);
  assertEquals(configOf(sets("a=2", "b=3")).data.weights, { a: 2, b: 3 });
  assertEquals(configOf(["--weights", "a=2", ...sets("b=3")]).data.weights, { a: 2, b: 3 });
  assertEquals(configOf(["--weights", "a=2", "--weights=b=3"]).data.weights, { a: 2, b: 3 });
  assertEquals(configOf(["--weights", "a=2,b=1", ...sets("a=5")]).data.weights, { a: 5, b: 1 });
  const whole = ["--set", 'data.weights={"a":2}', "--set", 'data={"weights":{"b":3}}'];
  assertEquals(configOf(whole).data.weights, { a: 2, b: 3 });
  const file = withFile("x.yaml", "data:\n  weights: {a: 2, toString: 4}\n", [
    "--weights",
    "a=3,b=1",
  ]);
  assertEquals(file().data.weights, { a: 3, toString: 4, b: 1 });
});

Deno.test("`trainRequest()` refuses flags that name one key twice", () => {
  for (const args of [["--weights", "a=2,a=5"], ["--weights", "a=2", "--weights", " a =5"]]) {
    assert(failure(args).includes("names a twice"), failure(args));
  }
  const files: [name: string, text: string][] = [
    ["x.json", '{"data": {"weights": {"a": 2, "b": {}, "\\u0061": 5}}}'],
    ["x.jsonc", '{"steps": 2, // "steps": 4\n "steps": 3}'],
  ];
  for (const [name, text] of files) {
    assertThrows(withFile(name, text), ConfigError, "twice in one group");
  }
  assertThrows(withFile("x.yaml", "steps: 2\nsteps: 3\n"), ConfigError, "duplicated");
  assert(failure(["--set", 'data.weights={"a":2,"a":5}']).includes("the key a twice"));
  // The same key in two groups, in a comment and in a string.
  const text =
    '{"model": {"layers": 2}, /* "model": 1 */ "sample": {"prompt": "\\"seed\\": {"}, "seed": 4}';
  assertEquals(withFile("x.jsonc", text)().seed, 4);
});

Deno.test("`trainRequest()` refuses __proto__ anywhere", () => {
  const text = '{"data": {"weights": {"__proto__": 0}}}';
  const entrances: (() => TrainConfig)[] = [
    () => configOf(["--weights", "__proto__=0"]),
    () => configOf(["--set", "data.weights.__proto__=0"]),
    () => configOf(["--set", 'data.weights={"__proto__":0}']),
    withFile("x.json", text),
    withFile("x.jsonc", text),
    withFile("x.yaml", "data:\n  weights:\n    __proto__: 0\n"),
  ];
  for (const entrance of entrances) {
    assertThrows(entrance, ConfigError, "expected no name __proto__, rename the domain");
  }
  for (const key of ["__proto__", "moe.__proto__", "__proto__.steps"]) {
    assertThrows(() => configOf(["--set", `${key}=5`]), ConfigError, "unknown key");
  }
  assertEquals(configOf(["--weights", "constructor=2"]).data.weights.constructor, 2 as never);
});

Deno.test("`trainRequest()` does not guess whether --data is a file or domain=file", () => {
  using folder = new TemporaryFolder();
  for (const name of ["a=good.txt", "good.txt"]) {
    Deno.writeTextFileSync(`${folder.path}/${name}`, "A text.");
  }
  const paths = (data: string) => configOf(["--data", data], folder.path).data.paths;
  for (const flag of ["--data", "--validation-data"]) {
    const message = failure([flag, "a=good.txt"], folder.path);
    assert(message.includes("write ./a=good.txt for it, or a=./good.txt"), message);
  }
  assertEquals(paths("./a=good.txt"), [`${folder.path}/a=good.txt`]);
  assertEquals(paths("a=./good.txt"), [`a=${folder.path}/good.txt`]);
  assertEquals(paths("b=good.txt"), [`b=${folder.path}/good.txt`]);
});

/** A run of a dense model that has begun. */
function denseRun(folder: string): string {
  const out = `${folder}/dense`;
  const model = { hidden: 32, heads: 2, dtype: "f32" } as const;
  const data = { tokenizer: "gpt2", batch: 2 } as const;
  const config = parseConfig({
    preset: "pico",
    out,
    steps: 7,
    model,
    moe: { router: "dense" },
    data,
  });
  using directory = RunDirectory.create(config);
  directory.begin();
  return out;
}

Deno.test("`trainRequest()` takes the model of the run that it starts from, and nothing else of it", () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  const from = denseRun(path);
  Deno.writeTextFileSync(`${path}/start.yaml`, "init: {from: dense}\n");
  const expected = parseConfig({
    preset: "pico",
    model: { hidden: 32, heads: 2, init_std: initialDeviation(32) },
    moe: { router: "relu" },
    data: { tokenizer: "gpt2" },
    init: { from },
  });
  for (
    const start of [
      ["--init-from", "dense"],
      ["--set", "init.from=dense"],
      ["--config", "start.yaml"],
      ["--init-from", "elsewhere", "--set", "init.from=dense"],
    ]
  ) {
    assertEquals(configOf([...start, "--router", "relu"], path), expected, start.join(" "));
  }
  const kept = configOf(["--init-from", "dense", "--upcycle-noise", "0.5"], path);
  assertEquals([kept.moe.router, kept.moe.experts, kept.init.noise], ["dense", 1, 0.5]);
  const own = configOf(["--config", "start.yaml", "--set", "init.from=null"], path);
  assertEquals([own.init.from, own.model.hidden], [null, 128]);
  // A preset brings its recipe; the sizes are those of the weights.
  const other = configOf(["--init-from", "dense", "--preset", "nano"], path);
  assertEquals([other.steps, other.model.hidden, other.model.layers], [500, 32, 2]);
});

Deno.test("`trainRequest()` refuses to start from weights as it resumes", () => {
  using folder = new TemporaryFolder();
  const { path } = folder;
  denseRun(path);
  for (const flag of [["--init-from", "dense"], ["--upcycle-noise", "0.1"]]) {
    assertEquals(
      failure(["--resume", "dense", ...flag], path),
      `${flag[0]} cannot go with --resume: a resumed run continues from its own weights`,
    );
  }
});

Deno.test("`trainRequest()` refuses what is no run, and what is no noise", () => {
  using folder = new TemporaryFolder();
  assertMatch(failure(["--init-from", "none"], folder.path), /^Cannot open the run .*none: /);
  assertMatch(failure(["--init-from", ""], folder.path), /--init-from is empty/);
  for (const noise of ["-1", "much", "NaN", "Infinity"]) {
    assertMatch(
      failure(["--upcycle-noise", noise]),
      /--upcycle-noise is .* a number of at least 0/,
    );
  }
});
