/** MergedExperts. @module */

import * as remoe from "@remoe/remoe";
import { lory } from "../../../moe/lory_reference.ts";
import { demand, demandTensor, type Entry, f32, type HostTensor } from "../../entry.ts";
import { built, weightsOf } from "../layers.ts";
import { moeShapes } from "./moe_options.ts";
import { demandContext, SIZES } from "./shared.ts";

/** Refuses all contexts but one sequence outside generation. */
function demandOneSequence(context: unknown): void {
  if (context === undefined) return;
  demandContext(context);
  const { sequence = 5, generation = null } = context as Record<string, unknown>;
  demand(sequence === 5 && generation === null, "sequence");
}

/** What the merging layer makes of its states. */
function merged(layer: Parameters<typeof weightsOf>[0], x: unknown): HostTensor {
  demandTensor(x);
  demand(x.shape.length === 2 && x.shape[1] === SIZES.hidden, "shape");
  const all = weightsOf(layer);
  const sizes = { ...SIZES, sequences: 1, sequence: x.shape[0]!, width: 2 };
  const states = Float64Array.from(x.data);
  const inputs = {
    ...{ x: states, router: all["gate.weight"]! },
    ...{ w1: all["experts.w1"]!, w2: all["experts.w2"]! },
  };
  return f32(x.shape, lory(inputs, states, sizes));
}

/** Entries of MergedExperts. */
export const mergedExpertsEntries: readonly Entry[] = [
  ...built({
    of: "MergedExperts",
    options: (w) => ({
      router: w.using(new remoe.LoryRouter(w.device, SIZES)),
      hidden: 4,
      width: 2,
      deviation: 0.1,
      outputDeviation: 0.2,
      name: "e",
      state: w.using(new remoe.StepState(w.device, { layers: 2, experts: 3 })),
      layer: 1,
      kept: { rows: 4 },
    }),
    build: (device, options) => new remoe.MergedExperts(device, options),
    sizes: ["hidden", "width"],
    shapes: (options) => {
      const { router, ...rest } = options;
      demand(typeof router?.merge === "function", "merge");
      return { "gate.weight": [4, 3], ...moeShapes({ router, ...rest }) };
    },
    needs: ["router"],
  }),
  ...[[], [{ sequence: 5, training: true }]].map((context): Entry => ({
    of: "MergedExperts.forward",
    variant: context.length === 0 ? "" : "with a context",
    make: (w) => {
      const router = w.layer(new remoe.LoryRouter(w.device, SIZES));
      const layer = w.layer(new remoe.MergedExperts(w.device, { router, hidden: 4, width: 2 }));
      return [layer, w.f32([5, 4]), ...context];
    },
    call: (layer, x, given) => layer.forward(x, given).output,
    right: (layer, x, given) => {
      const y = merged(layer, x);
      if (given !== undefined) {
        demand(x.shape[0] === 5, "tokens");
        demandOneSequence(given);
      }
      return y;
    },
    object: true,
  })),
];
