/** ReluRouter. @module */

import * as remoe from "@remoe/remoe";
import { demand, type Entry, f32 } from "../../entry.ts";
import type { World } from "../../world.ts";
import { built, demandPositive } from "../layers.ts";
import { logits, right, routed, SIZES, weightEntry } from "./shared.ts";

/** A router whose λ is known. */
export function relu(w: World): remoe.ReluRouter {
  return w.layer(new remoe.ReluRouter(w.device, { ...SIZES, lambda: 0.5, alpha: 2 }));
}

/** Entries of ReluRouter. */
export const reluEntries: readonly Entry[] = [
  ...built({
    of: "ReluRouter",
    options: () => ({
      ...SIZES,
      balance: "load",
      activation: "relu",
      revive: 0.5,
      lambda: 1e-3,
      alpha: 1.5,
      rule: "sign",
      gain: 0.1,
      damping: 0.2,
      deviation: 0.1,
      name: "g",
    }),
    build: (device, options) => new remoe.ReluRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: ({ hidden, experts, active = 1, lambda, alpha = 1.2, name, ...options }) => {
      const { balance = "load", activation = "relu", rule = "sign" } = options;
      const balances = ["load", "plain", "none", "load-squared", "transport"];
      demand(["relu", "relu-squared", "tanh"].includes(activation), "activation");
      demand(["sign", "proportional"].includes(rule), "rule");
      demandPositive(options, "revive", "gain", "damping");
      demand(Number.isFinite(active) && active > 0 && active <= experts, "active");
      demand(balances.includes(balance), "balance");
      demandPositive({ lambda }, "lambda");
      demand(Number.isFinite(alpha) && alpha > 0, "alpha");
      return { [name ?? "gate.weight"]: [hidden, experts] };
    },
  }),
  {
    of: "ReluRouter.route",
    make: (w) => [relu(w), w.f32([5, 4])],
    call: (router, x) => routed(router.route(x)),
    right: (_, x) => {
      const { shape, data } = logits(x);
      return right(f32(shape, data.map((logit) => Math.max(0, logit))));
    },
    object: true,
  },
  {
    of: "ReluRouter.adapt",
    make: (w) => [relu(w), 0.1],
    call: (router, sparsity) => router.adapt(sparsity),
    right: (_, sparsity) => {
      demand(Number.isFinite(sparsity) && sparsity >= 0 && sparsity <= 1, "sparsity");
      return 0.5 * 2 ** Math.sign(1 - SIZES.active / SIZES.experts - sparsity);
    },
    object: true,
  },
  {
    of: "ReluRouter.lambda",
    make: (w) => [relu(w)],
    call: (router) => router.lambda,
    right: () => 0.5,
    object: true,
  },
  weightEntry(remoe.ReluRouter),
];
