import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { parseGenerateFlags } from "../../cli/generate/flags.ts";
import { GENERATE_FLAGS, generateRequest } from "../../cli/generate/flags.ts";
import { dryRunReport } from "../../cli/train/dry_run.ts";
import { parseTrainFlags, TRAIN_FLAGS } from "../../cli/train/flags.ts";
import { trainRequest } from "../../cli/train/request.ts";
import { ConfigError } from "../../lib/errors.ts";
import { CONFIG_KEYS, parseConfig, PRESET_NAMES, type TrainConfig } from "../../lib/train/mod.ts";
import { effort } from "./effort.ts";
import { altered, anyKey, anyValue } from "./mutations.ts";

const PROTOTYPE = Object.getOwnPropertyNames(Object.prototype).join();

/** The result of `make`; null if it throws a ConfigError, the only error allowed. */
function orRefused<T>(make: () => T): T | null {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    assert(error.message.length > 10 && error.message.length < 20_000, error.message);
    return null;
  } finally {
    assertEquals(Object.getOwnPropertyNames(Object.prototype).join(), PROTOTYPE);
  }
}

/** An accepted configuration must be complete: it can be described and parsed again. */
function assertWhole(config: TrainConfig): void {
  assertEquals(parseConfig(config), config);
  assertEquals(parseConfig(JSON.parse(JSON.stringify(config))), config);
  const sizes = dryRunReport(config).split("\n}\n").at(-1)!;
  assert(!sizes.includes("NaN"), sizes);
}

Deno.test("`parseConfig()` returns a complete configuration or throws a ConfigError for any value", () => {
  const any = fc.oneof(
    anyValue,
    fc.anything(),
    fc.dictionary(
      fc.oneof(anyKey, fc.constantFrom(...CONFIG_KEYS.map(({ key }) => key))),
      anyValue,
    ),
    fc.constantFrom(...PRESET_NAMES).chain((preset) => altered(parseConfig({ preset }))),
  );
  fc.assert(
    fc.property(any, (input) => {
      const config = orRefused(() => parseConfig(input));
      if (config !== null) assertWhole(config);
    }),
    effort(400),
  );
});

const text = fc.oneof(
  fc.string({ maxLength: 6 }),
  fc.string({ unit: "binary", maxLength: 4 }),
  fc.constantFrom(
    "0",
    "1",
    "-1",
    "2",
    "7",
    "1e9",
    "0x10",
    "NaN",
    "Infinity",
    "relu",
    "nano",
    "a=1",
  ),
);
const setting = fc.tuple(
  fc.oneof(anyKey, fc.constantFrom(...CONFIG_KEYS.map(({ key }) => key))),
  fc.oneof(text, anyValue.map((value) => JSON.stringify(value) ?? "")),
).map(([key, value]) => `${key}=${value}`);

/** Command lines made of a table's flags, of flag-like strings, and of anything. */
function commandLines(flags: object, ...without: string[]): fc.Arbitrary<string[]> {
  const names = Object.keys(flags).filter((name) => !without.includes(name));
  const flag = fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...names) },
    anyKey,
  );
  const part = fc.oneof(
    fc.tuple(flag, text).map(([name, value]) => [`--${name}`, value]),
    fc.tuple(flag, text).map(([name, value]) => [`--${name}=${value}`]),
    flag.map((name) => [`--${name}`]),
    setting.map((value) => ["--set", value]),
    text.map((value) => [value]),
  );
  return fc.array(part, { maxLength: 5 }).map((parts) => parts.flat());
}

Deno.test("any `train` command line gives a complete configuration or a ConfigError", () => {
  fc.assert(
    fc.property(commandLines(TRAIN_FLAGS), (args) => {
      const request = orRefused(() => trainRequest(parseTrainFlags(args), "/nowhere"));
      if (request !== null) assertWhole(request.config);
    }),
    effort(400),
  );
});

Deno.test("any `generate` command line gives a request or a ConfigError", async () => {
  const input = { isTerminal: false, read: () => Promise.resolve(Uint8Array.of(65, 10)) };
  await fc.assert(
    fc.asyncProperty(commandLines(GENERATE_FLAGS), async (args) => {
      const given = orRefused(() => parseGenerateFlags(["--run=x", ...args]));
      if (given === null) return;
      const request = await generateRequest(given, "/nowhere", input).catch((error) => error);
      if (request instanceof ConfigError) return;
      assert(!(request instanceof Error), request);
      const { tokens, temperature, topP, seed, prompts } = request;
      assert(Number.isInteger(tokens) && tokens >= 1 && Number.isInteger(seed) && seed >= 0);
      assert(temperature >= 0 && topP > 0 && topP <= 1 && prompts.length > 0);
    }),
    effort(400),
  );
});
