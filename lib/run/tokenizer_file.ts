/** The copy of a `tokenizer.json` that a run carries. @module */

import { resolve } from "node:path";
import type { TrainConfig } from "../config/config.ts";
import { onPath, writeAtomically } from "../files.ts";

/** The file in the run directory. */
export const TOKENIZER = "tokenizer.json";

/**
 * Makes a configuration's path to its tokenizer one within the run directory, as its `config.json`
 * states it: the directory may be moved.
 *
 * @param config The configuration.
 * @returns The same with the relative path; without a file, the same.
 */
export function withRelativeTokenizer(config: TrainConfig): TrainConfig {
  return withPath(config, TOKENIZER);
}

/**
 * Makes the path of a `config.json` to the tokenizer absolute again.
 *
 * @param config The configuration.
 * @param directory The run directory.
 * @returns The same with the path; without a file, the same.
 */
export function withAbsoluteTokenizer(config: TrainConfig, directory: string): TrainConfig {
  const path = config.data.tokenizer_file?.path;
  return path === undefined ? config : withPath(config, resolve(directory, path));
}

/**
 * Copies a configuration's tokenizer into a run directory, unless it is there.
 *
 * @param config The configuration.
 * @param directory The run directory.
 * @throws {FileError} It cannot be read or written.
 */
export function copyTokenizer({ data }: TrainConfig, directory: string): void {
  const source = data.tokenizer_file?.path;
  const target = resolve(directory, TOKENIZER);
  if (source === undefined || source === target) return;
  writeAtomically(target, onPath("read", source, () => Deno.readFileSync(source)));
}

function withPath(config: TrainConfig, path: string): TrainConfig {
  const { data } = config;
  if (data.tokenizer_file === undefined) return config;
  return { ...config, data: { ...data, tokenizer_file: { ...data.tokenizer_file, path } } };
}
