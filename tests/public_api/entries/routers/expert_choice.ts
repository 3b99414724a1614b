/** ExpertChoiceRouter. @module */

import * as remoe from "@remoe/remoe";
import { expertChoiceGates } from "../../../../kernels/cases/reference/expert_choice.ts";
import { demand, demandTensor, type Entry, f32, type HostTensor } from "../../entry.ts";
import { built } from "../layers.ts";
import { demandContext, logits, right, routed, SIZES, STATES, weightEntry } from "./shared.ts";

/** What the experts choose from each group of tokens, two experts per token on average. */
function chosenBy(x: unknown, group: number) {
  const { shape, data } = logits(x);
  const { experts, active } = SIZES;
  const capacity = Math.max(1, Math.floor(group * active / experts));
  const { gates, chosen } = expertChoiceGates(Float64Array.from(data), experts, {
    ...{ group, capacity },
  });
  return { ...right(f32(shape, [...chosen])), gates: f32(shape, [...gates]) };
}

/** Entries of ExpertChoiceRouter. */
export const expertChoiceEntries: readonly Entry[] = [
  ...built({
    of: "ExpertChoiceRouter",
    options: () => ({ ...SIZES, capacity: 1.5, group: "sequence", deviation: 0.1, name: "g" }),
    build: (device, options) => new remoe.ExpertChoiceRouter(device, options),
    sizes: ["hidden", "experts"],
    shapes: (options) => {
      const { hidden, experts, active = 1, capacity = 1, name = "gate.weight" } = options;
      const { group = "batch" } = options;
      demand(Number.isFinite(active) && active > 0, "active");
      demand(Number.isFinite(capacity) && capacity > 0, "capacity");
      demand(capacity <= experts / active, "share");
      demand(["batch", "sequence"].includes(group), "group");
      return { [name]: [hidden, experts] };
    },
  }),
  {
    of: "ExpertChoiceRouter.route",
    make: (w) => [w.layer(new remoe.ExpertChoiceRouter(w.device, SIZES)), w.f32([5, 4])],
    call: (router, x) => routed(router.route(x)),
    right: (_, x) => chosenBy(x, (x as HostTensor).shape[0]!),
    object: true,
  },
  {
    of: "ExpertChoiceRouter.route",
    variant: "by sequence",
    make: (w) => [
      w.layer(new remoe.ExpertChoiceRouter(w.device, { ...SIZES, group: "sequence" })),
      w.f32([5, 4]),
      { sequence: 5, training: true, step: 2, layer: 1 },
    ],
    call: (router, x, context) => routed(router.route(x, context)),
    right: (_, x, context) => {
      demandTensor(x, STATES);
      const [count = 0] = x.shape;
      demand(context === undefined || (typeof context === "object" && context !== null), "context");
      const { sequence = count } = (context ?? {}) as { sequence?: number };
      demand(Number.isInteger(sequence) && sequence > 0 && count % sequence === 0, "sequence");
      demandContext(context && { ...context, sequence: 5 });
      return chosenBy(x, sequence);
    },
    object: true,
  },
  weightEntry(remoe.ExpertChoiceRouter),
];
