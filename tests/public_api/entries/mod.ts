/** Every entry of the table, by area: each area runs in a process of its own. @module */

import type { Entry } from "../entry.ts";
import { caches } from "./caches.ts";
import { checkpoints } from "./checkpoints.ts";
import { configurations } from "./configurations.ts";
import { corpora } from "./corpora.ts";
import { dataset } from "./data.ts";
import { dataErrors } from "./data_errors.ts";
import { devices } from "./devices.ts";
import { elementwise } from "./elementwise.ts";
import { errors } from "./errors.ts";
import { figures } from "./figures.ts";
import { layers } from "./layers.ts";
import { layout } from "./layout.ts";
import { lifetimes } from "./lifetimes.ts";
import { modelEntries } from "./models.ts";
import { optimizerEntries } from "./optimizers.ts";
import { numerics } from "./products.ts";
import { mixtures } from "./routers/mod.ts";
import { runDirectories } from "./run_directories.ts";
import { runs } from "./runs.ts";
import { trainedRuns } from "./trained_runs.ts";
import { weightFiles } from "./weights.ts";

/** The areas. */
export const areas: Readonly<Record<string, readonly Entry[]>> = {
  checkpoints: [...checkpoints, ...weightFiles],
  configurations,
  corpora,
  data: dataset,
  devices,
  errors: [...errors, ...dataErrors],
  figures,
  layers: [...layers, ...caches],
  lifetimes,
  models: modelEntries,
  operations: [...elementwise, ...layout, ...numerics],
  runDirectories,
  runs,
  trainedRuns,
  training: [...mixtures, ...optimizerEntries],
};
