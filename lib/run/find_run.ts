/** Finds a run and reads its configuration. @module */

import { requirePath, shown } from "../arguments.ts";
import { ConfigError } from "../errors.ts";
import { systemReason } from "../system_reason.ts";
import type { TrainConfig } from "../config/config.ts";
import { exists } from "../files.ts";
import { doubledKey } from "../config/doubled_key.ts";
import { withEarlierDefaults } from "../config/earlier_defaults.ts";
import { parseConfig } from "../config/parse_config.ts";
import { withAbsoluteTokenizer } from "./tokenizer_file.ts";

/** The file with a run's resolved configuration. */
export const CONFIG = "config.json";
/** The folder with a run's checkpoints. */
export const CHECKPOINTS = "checkpoints";
/** The file with a run's metrics, one JSON object per line. */
export const METRICS = "metrics.jsonl";

/** An existing run, as {@linkcode findRun} returns it. */
export interface FoundRun {
  /** The run directory. */
  readonly path: string;
  /** The folder of the checkpoint to resume from; null for the newest. */
  readonly checkpoint: string | null;
  /** The run's configuration. */
  readonly config: TrainConfig;
}

/**
 * Finds the run at a path and reads its configuration.
 *
 * @param path A run directory, or the folder of one of its checkpoints to resume from.
 * @returns The run.
 * @throws {TypeError} The path is not a path.
 * @throws {ConfigError} There is no run at the path, or its configuration cannot be used.
 *
 * @example
 * ```ts
 * import { assert, assertThrows } from "@std/assert";
 * import { findRun, parseConfig, RunDirectory } from "@remoe/remoe/train";
 *
 * const folder = Deno.makeTempDirSync();
 * {
 *   using directory = RunDirectory.create(parseConfig({ preset: "pico", out: `${folder}/run` }));
 *   directory.begin();
 * }
 * assert(findRun(`${folder}/run`).config.preset === "pico");
 * assertThrows(() => findRun(`${folder}/none`), TypeError, "Cannot open the run");
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function findRun(path: string): FoundRun {
  requirePath("open the run", "path", path);
  const [, run, name] = /^(.*)\/checkpoints\/(step-\d+)\/*$/.exec(path) ?? [];
  const directory = run ?? path.replace(/(?<=.)\/+$/, "");
  const file = `${directory}/${CONFIG}`;
  const fail = (reason: string, cause?: unknown): never => {
    throw new ConfigError(`Cannot open the run ${path}: ${reason}`, { cause });
  };
  let input: unknown;
  try {
    const text = Deno.readTextFileSync(file);
    input = JSON.parse(text);
    const doubled = doubledKey(text);
    if (doubled !== null) fail(`${file} holds the key ${doubled} twice in one group`);
    if (isForTransformers(input)) {
      fail(
        `it holds a model for transformers (model_type ${shown(input.model_type)}), not a run; ` +
          `make one of it with \`deno task convert import ${directory} --out RUN\``,
      );
    }
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    if (cause instanceof SyntaxError) fail(`${file} is not JSON (${cause.message})`, cause);
    if (!exists(directory)) fail("there is no such folder", cause);
    if (!exists(file)) fail(`it is not a run directory, ${CONFIG} is missing there`, cause);
    return fail(`cannot read ${file}: ${systemReason(cause)}`, cause);
  }
  return {
    path: directory,
    checkpoint: name === undefined ? null : `${directory}/${CHECKPOINTS}/${name}`,
    config: withAbsoluteTokenizer(
      parseConfig(withEarlierDefaults(input), { source: file }),
      directory,
    ),
  };
}

/** Whether a configuration is one of transformers: runs have no key of that name. */
function isForTransformers(input: unknown): input is { readonly model_type: unknown } {
  return typeof input === "object" && input !== null && Object.hasOwn(input, "model_type");
}
