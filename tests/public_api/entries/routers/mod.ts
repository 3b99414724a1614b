/** Routers and layers with experts. @module */

import type { Entry } from "../../entry.ts";
import { denseEntries } from "./dense.ts";
import { expertChoiceEntries } from "./expert_choice.ts";
import { hashEntries } from "./hash.ts";
import { loryEntries } from "./lory.ts";
import { mergedExpertsEntries } from "./merged_experts.ts";
import { moeEntries } from "./moe.ts";
import { reluEntries } from "./relu.ts";
import { routingOfEntries } from "./routing_of.ts";
import { sigmoidEntries } from "./sigmoid.ts";
import { sparsemixerEntries } from "./sparsemixer.ts";
import { topkEntries } from "./topk.ts";

/** Routers and layers with experts. */
export const mixtures: readonly Entry[] = [
  ...loryEntries,
  ...reluEntries,
  ...topkEntries,
  ...sigmoidEntries,
  ...sparsemixerEntries,
  ...expertChoiceEntries,
  ...denseEntries,
  ...hashEntries,
  ...routingOfEntries,
  ...mergedExpertsEntries,
  ...moeEntries,
];
