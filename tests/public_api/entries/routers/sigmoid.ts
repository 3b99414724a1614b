/** SigmoidRouter. @module */

import * as remoe from "@remoe/remoe";
import { demand, type Entry, f32 } from "../../entry.ts";
import type { World } from "../../world.ts";
import { built, demandPositive } from "../layers.ts";
import { demandScale, largest, logits, right, routed, SIZES, weightEntry } from "./shared.ts";

function sigmoid(w: World): remoe.SigmoidRouter {
  return w.layer(new remoe.SigmoidRouter(w.device, { ...SIZES, biasRate: 0.5 }));
}

/** Entries of SigmoidRouter. */
export const sigmoidEntries: readonly Entry[] = [
  ...built({
    of: "SigmoidRouter",
    options: () => ({ ...SIZES, normalize: true, biasRate: 0.01, gateScale: 2.5, name: "g" }),
    build: (device, options) => new remoe.SigmoidRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: (options) => {
      const { hidden, experts, active = 1, normalize = false, name = "gate.weight" } = options;
      demand(Number.isInteger(active) && active > 0 && active <= experts, "active");
      demand(typeof normalize === "boolean" && !(normalize && active === 1), "normalize");
      demandPositive(options, "biasRate");
      demandScale(options);
      return { [name]: [hidden, experts] };
    },
  }),
  {
    of: "SigmoidRouter.route",
    make: (w) => [w.layer(sigmoid(w)), w.f32([5, 4])],
    call: (router, x) => routed(router.route(x)),
    right: (_, x) => {
      const { shape, data } = logits(x);
      const experts = SIZES.experts;
      const scores = data.map((logit) => 1 / (1 + Math.exp(-logit)));
      const [gates, routes] = [scores.map(() => 0), scores.map(() => 0)];
      for (let first = 0; first < data.length; first += experts) {
        const chosen = largest(scores.slice(first, first + experts), SIZES.active);
        const total = chosen.reduce((sum, e) => sum + scores[first + e]!, 0);
        for (const e of chosen) {
          routes[first + e] = 1;
          gates[first + e] = scores[first + e]! / (total + 1e-20);
        }
      }
      return { ...right(f32(shape, routes)), gates: f32(shape, gates) };
    },
    object: true,
  },
  {
    of: "SigmoidRouter.bias",
    make: (w) => [sigmoid(w)],
    call: (router) => router.bias,
    right: () => f32([3], [0, 0, 0]),
    object: true,
  },
  {
    of: "SigmoidRouter.afterStep",
    make: (w) => [sigmoid(w), [6, 3, 0]],
    call: (router, counts) => {
      router.afterStep(counts);
      return router.bias;
    },
    right: (_, counts) => {
      demand(Array.isArray(counts) && counts.length === SIZES.experts, "counts");
      demand(counts.every((count) => Number.isSafeInteger(count) && count >= 0), "count");
      const mean = counts.reduce((sum, count) => sum + count, 0) / SIZES.experts;
      return f32([3], counts.map((count: number) => 0.5 * Math.sign(mean - count)));
    },
    object: true,
  },
  weightEntry(remoe.SigmoidRouter),
];
