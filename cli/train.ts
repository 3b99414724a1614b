/**
 * Trains a model; see `deno run -A cli/train.ts --help`.
 *
 * @module
 */

import { outliveFileSizeLimit } from "./train/file_size_limit.ts";
import { processOutput } from "./shared/output.ts";
import { type Train, trainCommand } from "./train/command.ts";

if (import.meta.main) {
  outliveFileSizeLimit();
  Deno.exit(await trainCommand(Deno.args, processOutput(), loadTrain));
}

/** Loads the library only when there is something to train, so that `--help` answers at once. */
async function loadTrain(): Promise<Train> {
  const { train } = await import("../lib/train/train.ts");
  return train;
}
