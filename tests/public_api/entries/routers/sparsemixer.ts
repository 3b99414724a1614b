/** SparseMixerRouter. @module */

import * as remoe from "@remoe/remoe";
import { sparseMixerRow } from "../../../../kernels/cases/reference/sparsemixer.ts";
import { demand, type Entry, f32 } from "../../entry.ts";
import { built, demandPositive } from "../layers.ts";
import { demandContext, logits, right, routed, SIZES, weightEntry } from "./shared.ts";

const EVALUATION = { sequence: 1, training: false };

/** Entries of SparseMixerRouter. */
export const sparsemixerEntries: readonly Entry[] = [
  ...built({
    of: "SparseMixerRouter",
    options: () => ({ ...SIZES, jitter: 0.2, balanceCoefficient: 0.01, name: "g" }),
    build: (device, options) => new remoe.SparseMixerRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: (options) => {
      const { hidden, experts, active = 1, jitter = 0.1, name = "gate.weight" } = options;
      demand(Number.isInteger(active) && active > 0 && active <= experts, "active");
      demand(Number.isFinite(jitter) && Math.fround(jitter) > 0, "jitter");
      demandPositive(options, "balanceCoefficient");
      return { [name]: [hidden, experts] };
    },
  }),
  ...([undefined, EVALUATION] as const).map((context): Entry => ({
    of: "SparseMixerRouter.route",
    ...context === undefined ? {} : { variant: "in evaluation" },
    make: (w) => [
      w.layer(new remoe.SparseMixerRouter(w.device, { ...SIZES, jitter: 1 })),
      w.f32([5, 4]),
      ...context === undefined ? [] : [context],
    ],
    call: (router, x, context) => routed(router.route(x, context)),
    // No tape records: without a context it is an evaluation.
    right: (_, x, context) => {
      const { shape, data } = logits(x);
      demandContext(context);
      const experts = SIZES.experts;
      const gates = Array<number>(data.length).fill(0);
      for (let first = 0; first < data.length; first += experts) {
        const row = data.slice(first, first + experts);
        const { order, probabilities } = sparseMixerRow(row, null, SIZES.active, 1);
        order.forEach((e, i) => gates[first + e] = probabilities[i]!);
      }
      return right(f32(shape, gates));
    },
    object: true,
  })),
  weightEntry(remoe.SparseMixerRouter),
];
