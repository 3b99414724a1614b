/** Every entry of the table, by area: each area runs in a process of its own. @module */

import type { Entry } from "../entry.ts";
import { caches } from "./caches.ts";
import { dataset } from "./data.ts";
import { devices } from "./devices.ts";
import { elementwise } from "./elementwise.ts";
import { errors } from "./errors.ts";
import { layers } from "./layers.ts";
import { lifetimes } from "./lifetimes.ts";
import { modelEntries } from "./models.ts";
import { optimizerEntries } from "./optimizers.ts";
import { mixtures } from "./routers.ts";
import { runs } from "./runs.ts";
import { layout } from "./layout.ts";
import { numerics } from "./products.ts";

/** The areas. */
export const areas: Readonly<Record<string, readonly Entry[]>> = {
  data: dataset,
  devices,
  layers: [...layers, ...caches],
  lifetimes,
  models: modelEntries,
  training: [...mixtures, ...optimizerEntries],
  errors,
  runs,
  operations: [...elementwise, ...layout, ...numerics],
};
