/**
 * The flags of `serve`.
 *
 * @module
 */

import type { Real } from "../../lib/tensor/dtype.ts";
import { type Arguments, type Flag, parseFlags } from "../shared/arguments.ts";
import { deviceOf, dtypeOf, oneRun } from "../shared/model_flags.ts";

/** The flags of `serve`, in the order of the help. */
export const SERVE_FLAGS = {
  host: {
    value: "ADDRESS",
    about: "Address to listen at; 0.0.0.0 lets other machines in, and nothing asks who they are",
    fallback: "127.0.0.1",
  },
  port: {
    value: "N",
    whole: { least: 0, most: 65535 },
    about: "Port to listen at; 0: any that is free, printed at the start",
    fallback: "8000",
  },
  name: { value: "NAME", about: "Name of the model in requests", fallback: "the run's folder" },
  rows: {
    value: "N",
    whole: { least: 1, most: 4096 },
    about: "Texts that grow at the same time",
    fallback: "16",
  },
  context: {
    value: "N",
    whole: { least: 2, most: 2 ** 24 },
    about: "Most tokens of a text, its prompt included",
    fallback: "the run's data.sequence",
  },
  queue: {
    value: "N",
    whole: { least: 0, most: 1_000_000 },
    about: "Texts that may wait for one of them to end; more are refused with 429",
    fallback: "256",
  },
  chunk: {
    value: "N",
    whole: { least: 1, most: 2 ** 20 },
    about: "Most tokens of prompts to read between two tokens of the texts that grow",
    fallback: "256",
  },
  device: { value: "auto|cpu|cuda", about: "The device to run on", fallback: "auto" },
  threads: {
    value: "N",
    whole: { least: 1, most: 4096 },
    about: "Threads of the kernels; on a busy machine fewer are faster",
    fallback: "one per core",
  },
  dtype: { value: "f32|bf16", about: "The type to compute in", fallback: "the run's" },
  help: { about: "Print this help, and exit" },
} as const satisfies Readonly<Record<string, Flag>>;

/** What a command line of `serve` asks for. */
export interface ServeRequest {
  /** The run or checkpoint, absolute. */
  readonly run: string;
  /** The address to listen at. */
  readonly host: string;
  /** The port; 0: any that is free. */
  readonly port: number;
  /** The model's name; undefined: the run's folder. */
  readonly name: string | undefined;
  /** Texts at once. */
  readonly rows: number;
  /** Most tokens of a text; undefined: those of a sequence in training. */
  readonly context: number | undefined;
  /** Texts that may wait. */
  readonly queue: number;
  /** Tokens of prompts per step. */
  readonly chunk: number;
  /** The device to run on. */
  readonly device: "auto" | "cpu" | "cuda";
  /** Threads of the kernels; undefined: one per core. */
  readonly threads: number | undefined;
  /** The type to compute in; undefined: the run's. */
  readonly dtype: Real | undefined;
}

/**
 * Parses the flags of `serve`.
 *
 * @param args The command line.
 * @returns What was given.
 * @throws {ConfigError} If a flag is unknown or lacks its value.
 */
export function parseServeFlags(args: readonly string[]): Arguments<typeof SERVE_FLAGS> {
  return parseFlags(args, SERVE_FLAGS, { operands: true });
}

/**
 * Checks what was given.
 *
 * @param given What {@linkcode parseServeFlags} returned.
 * @param base The folder that relative paths are resolved against.
 * @returns The request.
 * @throws {ConfigError} If there is not exactly one run, or a value cannot be used.
 */
export function serveRequest(given: Arguments<typeof SERVE_FLAGS>, base: string): ServeRequest {
  const run = oneRun(given.operands, "serve", base);
  const [device, dtype] = [deviceOf(given), dtypeOf(given)];
  return {
    run,
    host: given.value("host") ?? "127.0.0.1",
    port: given.whole("port") ?? 8000,
    name: given.value("name"),
    rows: given.whole("rows") ?? 16,
    context: given.whole("context"),
    queue: given.whole("queue") ?? 256,
    chunk: given.whole("chunk") ?? 256,
    device,
    threads: given.whole("threads"),
    dtype,
  };
}
