/** routingOf(). @module */

import * as remoe from "@remoe/remoe";
import { demand, demandTensor, type Entry } from "../../entry.ts";
import { demandSizes } from "../layers.ts";
import { right, routed } from "./shared.ts";

/** Entries of routingOf(). */
export const routingOfEntries: readonly Entry[] = [
  {
    of: "routingOf",
    make: (w) => [w.tensor("f32", [2, 3], [0, 0.5, 1, 0, 0, 2]), { active: 1.5 }],
    call: (gates, options) => routed(remoe.routingOf(gates, options)),
    right: (gates, options = {}) => {
      demandTensor(gates);
      demand(gates.shape.length === 2, "axes");
      demand(typeof options === "object" && options !== null, "options");
      const { active = 1 } = options;
      demand(Number.isFinite(active) && active > 0, "active");
      return right(gates);
    },
  },
  {
    of: "routingOf",
    variant: "with a selection",
    make: (w) => [
      w.tensor("f32", [2, 3], [0, 0.5, -1, 0, 0, 2]),
      { selected: w.tensor("f32", [2, 3], [1, 0, 1, 0, 0, -3]) },
    ],
    call: (gates, options) => routed(remoe.routingOf(gates, options)),
    right: (gates, options = {}) => {
      demandTensor(gates);
      demand(gates.shape.length === 2, "axes");
      demand(typeof options === "object" && options !== null, "options");
      const { selected = gates } = options;
      demandTensor(selected);
      demand(`${gates.shape}` === `${selected.shape}`, "shapes");
      return { ...right(selected), gates };
    },
  },
  {
    of: "routingOf",
    variant: "with a regularization",
    make: (w) => [
      w.tensor("f32", [2, 3], [0, 0.5, 1, 0, 0, 2]),
      {
        regularization: {
          state: w.using(new remoe.StepState(w.device, { layers: 2, experts: 3 })),
          balance: "plain",
          layers: 2,
        },
      },
    ],
    call: (gates, options) => routed(remoe.routingOf(gates, options)),
    right: (gates, options = {}) => {
      demandTensor(gates);
      demand(gates.shape.length === 2, "axes");
      demand(typeof options === "object" && options !== null, "options");
      const { regularization } = options;
      if (regularization !== undefined) {
        demand(typeof regularization === "object" && regularization !== null, "regularization");
        const { state, balance = "load", layers = 2 } = regularization;
        demand(state instanceof remoe.StepState, "state");
        demand(balance === "load" || balance === "plain", "balance");
        demandSizes({ layers }, "layers");
      }
      return right(gates);
    },
  },
];
