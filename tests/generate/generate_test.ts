import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { type Device, type LanguageModel, read, type Real } from "../../mod.ts";
import { openTokenizer } from "../../lib/data/mod.ts";
import { ConfigError, DeviceError } from "../../lib/errors.ts";
import { generate, type GenerateOptions, LogitsError } from "../../lib/generate/mod.ts";
import { buildModel } from "../../lib/model/build_model.ts";
import { type ConfigLayer, parseConfig } from "../../lib/train/mod.ts";
import { unwrapped } from "../../lib/tensor/operands.ts";
import { upload } from "../../lib/tensor/transfer.ts";
import { openDevice } from "../tensor/open_device.ts";

const tokenizer = await openTokenizer("byte");

/** A small model with weights large enough for clear preferences. */
function smallModel(device: Device, layer: ConfigLayer = {}) {
  const model = { layers: 2, hidden: 32, heads: 4, groups: 2, init_std: 0.3 };
  return buildModel(device, parseConfig({ preset: "pico", model, ...layer }));
}

/** The next-token logits of a sequence, from the training forward pass. */
async function trainingLogits(
  device: Device,
  model: LanguageModel<Real>,
  tokens: readonly number[],
) {
  using _scope = device.noGradient();
  const logits = await read(model.logits(device.tokens(tokens), tokens.length));
  return logits.slice(-model.vocabulary);
}

const ROUTERS: Record<string, ConfigLayer> = {
  relu: {},
  topk: { moe: { router: "topk", active: 2 } },
  dense: { moe: { router: "dense" } },
  sparsemixer: { moe: { router: "sparsemixer", active: 2 } },
};

for (const [router, layer] of Object.entries(ROUTERS)) {
  Deno.test(`cached logits equal those of training at every position (${router})`, async () => {
    using device = await openDevice({ seed: 2 });
    using built = smallModel(device, layer);
    const { model } = built;
    const sequences = [[256, 5, 9, 77, 31], [256], [256, 200, 3]];
    using cache = model.openCache(3, 12);
    using _scope = device.noGradient();
    let logits = await read(model.prefill(sequences, cache));
    for (let step = 0; step < 7; step++) {
      for (const [b, sequence] of sequences.entries()) {
        const expected = await trainingLogits(device, model, sequence);
        const ours = logits.subarray(b * 257, (b + 1) * 257);
        const largest = Math.max(...expected.map(Math.abs));
        expected.forEach((value, i) => assertAlmostEquals(ours[i]!, value, 2e-5 * largest));
      }
      sequences.forEach((sequence, b) => sequence.push((sequence.at(-1)! * 7 + b + step) % 256));
      logits = await read(model.decode(sequences.map((sequence) => sequence.at(-1)!), cache));
    }
  });
}

async function texts(prompts: readonly string[], options: GenerateOptions): Promise<string[]> {
  const all = prompts.map(() => "");
  for await (const { prompt, text } of generate(prompts, options)) all[prompt] += text;
  return all;
}

Deno.test("greedy text is the same with the cache and with the whole window", async () => {
  using device = await openDevice({ seed: 3 });
  using built = smallModel(device);
  const { model } = built;
  const options = { device, model, tokenizer, tokens: 24, temperature: 0 };
  const drawn: number[] = [];
  for (let i = 0; i < 24; i++) {
    const window = [256, ...tokenizer.encode("Some"), ...drawn];
    const logits = await trainingLogits(device, model, window);
    drawn.push(logits.indexOf(Math.max(...logits)));
    if (drawn.at(-1) === 256) break;
  }
  assertEquals((await texts(["Some"], options))[0], tokenizer.decode(drawn));
});

Deno.test("a text depends on its seed and prompt, not on the other prompts", async () => {
  using device = await openDevice({ seed: 4 });
  using built = smallModel(device);
  const { model } = built;
  const options = { device, model, tokenizer, tokens: 30, topK: 50, seed: 9 };
  const [alone] = await texts(["A tale"], options);
  assertEquals((await texts(["", "A tale", "A much longer beginning"], options))[1], alone);
  assert((await texts(["A tale"], { ...options, seed: 10 }))[0] !== alone);
});

Deno.test("a stop string ends a text and is not part of it; other texts continue", async () => {
  using device = await openDevice({ seed: 5 });
  using built = smallModel(device);
  const { model } = built;
  const options = { device, model, tokenizer, tokens: 40, seed: 1 };
  const [whole] = await texts(["x"], options);
  const stop = whole!.slice(10, 13);
  const cut = whole!.slice(0, whole!.indexOf(stop));
  const pieces = await Array.fromAsync(generate(["x"], { ...options, stop: [stop] }));
  assertEquals(pieces.map(({ text }) => text).join(""), cut);
  assertEquals(pieces.at(-1)!.finish, "stop");
  assert(pieces.slice(0, -1).every(({ finish }) => finish === null));
});

Deno.test("generation frees all that it allocates", async () => {
  using device = await openDevice({ seed: 5 });
  using built = smallModel(device);
  const { model } = built;
  const before = device.statistics().inUse;
  await texts(["x", "y"], { device, model, tokenizer, tokens: 5 });
  assertEquals(device.statistics().inUse, before);
});

Deno.test("prompts beyond the batch size all get their text", async () => {
  using device = await openDevice({ seed: 4 });
  using built = smallModel(device, { model: { layers: 1, hidden: 8, heads: 2, init_std: 0.3 } });
  const { model } = built;
  const options = { device, model, tokenizer, tokens: 3, temperature: 0 };
  const prompts = Array.from({ length: 600 }, (_, i) => `Prompt ${i % 7}`);
  const all = await texts(prompts, options);
  const alone = await texts(prompts.slice(0, 7), options);
  assertEquals(all, prompts.map((_, i) => alone[i % 7]!));
  const stopped = AbortSignal.abort();
  const pieces = await Array.fromAsync(generate(prompts, { ...options, signal: stopped }));
  assert(pieces.length < 600 && pieces.every(({ finish }) => finish !== null));
});

Deno.test("non-finite logits raise an error that names prompt and token", async () => {
  using device = await openDevice({ seed: 4 });
  using built = smallModel(device);
  const { model } = built;
  const norm = [...model.parameters()].find(({ name }) => name === "model.norm.weight")!;
  upload(unwrapped(norm), new Float32Array(32).fill(NaN));
  const options = { device, model, tokenizer, tokens: 3 };
  const error = await assertRejects(() => texts(["a", "b"], options), LogitsError);
  assert(error.message.startsWith("Cannot generate token 1 of prompt 1: "), error.message);
  assert(error.message.includes("the logit of token 0 is NaN"), error.message);
});

Deno.test("`generate()` names the option that needs too much memory", async () => {
  using device = await openDevice();
  using built = smallModel(device);
  const options = { device, model: built.model, tokenizer, tokens: 2_000_000_000 };
  const error = await assertRejects(() => texts(["x"], options), DeviceError);
  assert(error.message.startsWith("Cannot generate: tokens is 2000000000, and"), error.message);
  assert(error.message.includes("ask for fewer tokens"), error.message);
});

Deno.test("`generate()` names the option that is out of range", async () => {
  using device = await openDevice({ seed: 5 });
  using built = smallModel(device);
  const { model } = built;
  const wrong: [Partial<GenerateOptions>, string][] = [
    [{ tokens: 0 }, "tokens is 0"],
    [{ temperature: -1 }, "temperature is -1"],
    [{ topK: 0 }, "top-k is 0"],
    [{ topP: 0 }, "top-p is 0"],
    [{ topP: 1.1 }, "top-p is 1.1"],
    [{ tokens: NaN }, "tokens is NaN"],
    [{ model: null as unknown as LanguageModel }, "model is not a LanguageModel"],
    [{ device: {} as Device }, "device is not a Device"],
    [{ tokens: 99_999_999_999 }, "tokens is 99999999999"],
    [
      { tokens: 2 ** 31 - 1 },
      "tokens is 2147483647, expected at most 2147483645 after a prompt of 2",
    ],
    [{ seed: -1 }, "seed is -1"],
    [{ seed: 1.5 }, "seed is 1.5"],
    [{ stream: 2 ** 32 }, "stream is 4294967296"],
    [{ stop: "x" as unknown as string[] }, "stop is not a list of texts"],
    [{ stop: [""] }, "a stop string is empty"],
    [{ stop: ["a", "\ud800"] }, "stop string 2 holds half a surrogate pair"],
  ];
  for (const [options, message] of wrong) {
    const whole = { device, model, tokenizer, tokens: 5, ...options };
    await assertRejects(() => texts(["x"], whole), ConfigError, message);
  }
  const whole = { device, model, tokenizer, tokens: 5 };
  await assertRejects(() => texts(["x", "\udc00"], whole), ConfigError, "prompt 2 holds half a");
  const gpt2 = await openTokenizer("gpt2");
  const other = { device, model, tokenizer: gpt2, tokens: 5 };
  await assertRejects(() => texts(["x"], other), ConfigError, "fewer than the tokenizer gpt2");
});

Deno.test("concurrent generation on one device equals sequential generation", async () => {
  using device = await openDevice({ seed: 2 });
  using built = smallModel(device);
  const options = { device, model: built.model, tokenizer, tokens: 12 };
  const [a] = await texts(["The "], options);
  const [b] = await texts(["And "], options);
  const both = await Promise.all([texts(["The "], options), texts(["And "], options)]);
  assertEquals(both, [[a], [b]]);
});

Deno.test("a scope of the caller's may open and close between two pieces", async () => {
  using device = await openDevice({ seed: 2 });
  using built = smallModel(device);
  const pieces = generate(["The "], { device, model: built.model, tokenizer, tokens: 2 });
  const first = pieces.next();
  {
    using _scope = device.scope();
    await first;
  }
  await pieces.next();
  await pieces.return();
});
