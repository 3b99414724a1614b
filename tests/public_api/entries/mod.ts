/** Every entry of the table, by area: each area runs in a process of its own. @module */

import type { Entry } from "../entry.ts";
import { checkpoints } from "./checkpoints.ts";
import { configurations } from "./configurations.ts";
import { corpora } from "./corpora.ts";
import { dataset } from "./data.ts";
import { devices } from "./devices.ts";
import { elementwise } from "./elementwise.ts";
import { dataErrors } from "./data_errors.ts";
import { figures } from "./figures.ts";
import { layers } from "./layers.ts";
import { lifetimes } from "./lifetimes.ts";
import { training } from "./routers.ts";
import { runDirectories } from "./run_directories.ts";
import { runs } from "./runs.ts";
import { trainedRuns } from "./trained_runs.ts";
import { layout } from "./layout.ts";
import { numerics } from "./products.ts";

/** The areas. */
export const areas: Readonly<Record<string, readonly Entry[]>> = {
  checkpoints,
  configurations,
  corpora: [...corpora, ...dataErrors],
  data: dataset,
  devices,
  figures,
  layers,
  lifetimes,
  training,
  runs,
  runDirectories,
  trainedRuns,
  operations: [...elementwise, ...layout, ...numerics],
};
