/** LoryRouter. @module */

import * as remoe from "@remoe/remoe";
import { softmax } from "../../../../kernels/cases/reference/reduction.ts";
import { meanOf } from "../../../moe/lory_reference.ts";
import { demand, demandTensor, type Entry, f32 } from "../../entry.ts";
import { built } from "../layers.ts";
import { logits, right, routed, SIZES, STATES, weightEntry } from "./shared.ts";

/** Softmax weights of the experts per segment of one sequence, and the segment of each token. */
function merging(x: unknown): { rows: Float64Array; networks: number[]; length: number } {
  demandTensor(x, STATES);
  demand(x.shape.length === 2 && x.shape[1] === SIZES.hidden, "shape");
  const tokens = x.shape[0]!;
  const length = Math.ceil(tokens / 4);
  const states = Float64Array.from(x.data);
  const starts = Array.from({ length: Math.ceil(tokens / length) }, (_, s) => s * length);
  const means = starts.flatMap((start) => {
    const from = Math.max(0, start - length);
    return [...meanOf(states, from, Math.min(tokens, from + length), SIZES.hidden)];
  });
  const { data } = logits(f32([starts.length, SIZES.hidden], means));
  return {
    rows: softmax(Float64Array.from(data), SIZES.experts),
    networks: Array.from({ length: tokens }, (_, t) => Math.floor(t / length)),
    length,
  };
}

/** Entries of LoryRouter. */
export const loryEntries: readonly Entry[] = [
  ...built({
    of: "LoryRouter",
    options: () => ({ ...SIZES, deviation: 0.1, name: "g" }),
    build: (device, options) => new remoe.LoryRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: ({ hidden, experts, name = "gate.weight" }) => ({ [name]: [hidden, experts] }),
  }),
  {
    of: "LoryRouter.merge",
    make: (w) => [w.layer(new remoe.LoryRouter(w.device, SIZES)), w.f32([5, 4])],
    call: async (router, x) => {
      const { weights: shares, networkOf, tokens } = router.merge(x);
      return { shares, networks: [...await remoe.read(networkOf)], tokens };
    },
    right: (_, x) => {
      const { rows, networks } = merging(x);
      const tokens = [...new Set(networks)].map((n) => networks.filter((m) => m === n).length);
      return { shares: f32([tokens.length, SIZES.experts], [...rows]), networks, tokens };
    },
    object: true,
  },
  {
    of: "LoryRouter.route",
    make: (w) => [w.layer(new remoe.LoryRouter(w.device, SIZES)), w.f32([5, 4])],
    call: (router, x) => routed(router.route(x)),
    right: (_, x) => {
      const { rows, networks } = merging(x);
      const { experts } = SIZES;
      const gates = networks.flatMap((n) => [...rows.subarray(n * experts, (n + 1) * experts)]);
      return right(f32([networks.length, experts], gates));
    },
    object: true,
  },
  weightEntry(remoe.LoryRouter),
];
