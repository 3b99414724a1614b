/**
 * The flags of `generate`.
 *
 * @module
 */

import { ConfigError } from "../../lib/errors.ts";
import type { Real } from "../../lib/tensor/dtype.ts";
import { absolutePath, type Arguments, type Flag, parseFlags } from "../shared/arguments.ts";
import { deviceOf, dtypeOf } from "../shared/model_flags.ts";
import { decimal } from "../shared/numbers.ts";
import { decodeText, readTextFile } from "../shared/text_paths.ts";

/** The flags of `generate`, in the order of the help. */
export const GENERATE_FLAGS = {
  run: {
    value: "DIR",
    about: "Run directory (its newest checkpoint is used) or folder of a checkpoint",
  },
  prompt: {
    value: "TEXT",
    repeat: true,
    about: "Text to continue, - for standard input; may be repeated. Without any: standard input " +
      "if it is piped, else the start of a document",
  },
  "prompt-file": { value: "FILE", repeat: true, about: "File whose text is a prompt" },
  prompts: { value: "FILE", about: "File with one prompt per line" },
  tokens: {
    value: "N",
    whole: { least: 1, most: 2 ** 31 - 1 },
    about: "Most tokens to draw for each prompt",
    fallback: "200",
  },
  temperature: {
    value: "X",
    about: "Divisor of the logits; 0: always the likeliest token",
    fallback: "0.8",
  },
  "top-k": {
    value: "N",
    whole: { least: 1 },
    about: "Draw from the N likeliest tokens",
    fallback: "all",
  },
  "top-p": {
    value: "X",
    about:
      "Draw from the fewest tokens whose probabilities, out of all tokens', add up to at least " +
      "X; with --top-k, from the smaller set",
    fallback: "1",
  },
  seed: { value: "S", whole: { least: 0 }, about: "Seed of the draws", fallback: "0" },
  stop: {
    value: "TEXT",
    repeat: true,
    about: "Text that ends the answer, not printed; may be repeated",
  },
  device: { value: "auto|cpu|cuda", about: "The device to run on", fallback: "auto" },
  dtype: { value: "f32|bf16", about: "The type to compute in", fallback: "the run's" },
  json: { about: "Print a JSON object per prompt, once all are done" },
  help: { about: "Print this help, and exit" },
} as const satisfies Readonly<Record<string, Flag>>;

/** What a command line of `generate` asks for. */
export interface GenerateRequest {
  /** The run or checkpoint. */
  readonly run: string;
  /** The texts to continue. */
  readonly prompts: readonly string[];
  /** Most tokens per prompt. */
  readonly tokens: number;
  /** Divisor of the logits. */
  readonly temperature: number;
  /** Number of likeliest tokens to draw from; undefined: all. */
  readonly topK: number | undefined;
  /** Probability of the nucleus to draw from. */
  readonly topP: number;
  /** Seed of the draws. */
  readonly seed: number;
  /** Texts that end an answer. */
  readonly stop: readonly string[];
  /** The device to run on. */
  readonly device: "auto" | "cpu" | "cuda";
  /** The type to compute in; undefined: the run's. */
  readonly dtype: Real | undefined;
}

/** Standard input; a test supplies its own. */
export interface Input {
  /** Whether it is a terminal. */
  readonly isTerminal: boolean;
  /** Reads it to its end. */
  read(): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Parses the flags of `generate`.
 *
 * @param args The command line.
 * @returns What was given.
 * @throws {ConfigError} If a flag is unknown or lacks its value.
 */
export function parseGenerateFlags(args: readonly string[]): Arguments<typeof GENERATE_FLAGS> {
  return parseFlags(args, GENERATE_FLAGS);
}

/**
 * Checks what was given and reads the prompts.
 *
 * @param given What {@linkcode parseGenerateFlags} returned.
 * @param base The folder that relative paths are resolved against.
 * @param input Standard input.
 * @returns The request.
 * @throws {ConfigError} If a value cannot be used, or a prompt cannot be read.
 */
export async function generateRequest(
  given: Arguments<typeof GENERATE_FLAGS>,
  base: string,
  input: Input,
): Promise<GenerateRequest> {
  const run = given.value("run");
  if (run === undefined) throw new ConfigError("Which model? Give --run DIR; see --help");
  const [device, dtype] = [deviceOf(given), dtypeOf(given)];
  const number = (name: "temperature" | "top-p", range: Range) =>
    numberOf(name, given.value(name), range);
  return {
    run: absolutePath(run, base),
    tokens: given.whole("tokens") ?? 200,
    temperature: number("temperature", { least: 0 }) ?? 0.8,
    topK: given.whole("top-k"),
    topP: number("top-p", { above: 0, most: 1 }) ?? 1,
    seed: given.whole("seed") ?? 0,
    stop: given.values("stop"),
    device,
    dtype,
    prompts: await promptsOf(given, base, input),
  };
}

interface Range {
  readonly least?: number;
  readonly above?: number;
  readonly most?: number;
}

function numberOf(name: string, text: string | undefined, range: Range): number | undefined {
  if (text === undefined) return undefined;
  const value = decimal(text) ?? NaN;
  const { least = -Infinity, above = -Infinity, most = Number.MAX_SAFE_INTEGER } = range;
  if (value >= least && value > above && value <= most) return value;
  const lower = range.above === undefined ? ` of at least ${least}` : ` above ${above}`;
  const upper = most === Number.MAX_SAFE_INTEGER ? "" : ` and at most ${most}`;
  throw new ConfigError(`--${name} is ${text}, expected a number${lower}${upper}`);
}

/** What a file or standard input is read as. */
const PROMPT = "a prompt";

async function promptsOf(
  given: Arguments<typeof GENERATE_FLAGS>,
  base: string,
  input: Input,
): Promise<string[]> {
  const prompts: string[] = [];
  for (const prompt of given.values("prompt")) {
    prompts.push(
      prompt === "-" ? decodeText(await input.read(), "standard input", PROMPT) : prompt,
    );
  }
  for (const file of given.values("prompt-file")) {
    prompts.push(await readTextFile(file, base, PROMPT));
  }
  const list = given.value("prompts");
  if (list !== undefined) {
    const lines = (await readTextFile(list, base, PROMPT)).split(/\r?\n/).filter((line) =>
      line !== ""
    );
    if (lines.length === 0) throw new ConfigError(`Cannot use ${list}: it holds no prompt`);
    for (const line of lines) prompts.push(line);
  }
  if (prompts.length > 0) return prompts;
  // Without prompts, piped input is the prompt; without piped input, the start of a document.
  // Shell commands end their output with a newline, which is not meant as part of the prompt.
  return [
    input.isTerminal
      ? ""
      : decodeText(await input.read(), "standard input", PROMPT).replace(/\r?\n$/, ""),
  ];
}
