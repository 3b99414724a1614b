/** MoE. @module */

import * as remoe from "@remoe/remoe";
import { mixture } from "../../../nn/language_model_reference.ts";
import { demand, demandTensor, type Entry, f32, type HostTensor } from "../../entry.ts";
import type { World } from "../../world.ts";
import { built, weightsOf } from "../layers.ts";
import { moeShapes } from "./moe_options.ts";
import { relu } from "./relu.ts";
import { demandContext, SIZES } from "./shared.ts";

/** A user-defined router that sends every token to the first expert. */
function first(w: World): Record<string, unknown> {
  const { device } = w;
  return {
    hidden: 4,
    experts: 3,
    active: 1,
    route: ({ shape: [tokens] }: remoe.Tensor) =>
      remoe.routingOf(device.from(Array(tokens).fill([1, 0, 0]).flat(), [tokens!, 3])),
    parameters: () => [],
    [Symbol.dispose]: () => {},
  };
}

/** What the layer makes of its states. */
function forwarded(layer: Parameters<typeof weightsOf>[0], x: unknown): HostTensor {
  demandTensor(x);
  demand(x.shape.length === 2 && x.shape[1] === 4, "shape");
  const all = weightsOf(layer);
  const given = { ...all, "x.gate": all["gate.weight"]! };
  const reference = mixture({ ...SIZES, width: 2, router: "relu" });
  return f32(x.shape, reference(Float64Array.from(x.data), given, "x").y);
}

/** Entries of MoE. */
export const moeEntries: readonly Entry[] = [
  ...built({
    of: "MoE",
    options: (w) => ({
      router: w.using(new remoe.DenseRouter(w.device, SIZES)),
      hidden: 4,
      width: 2,
      deviation: 0.1,
      outputDeviation: 0.2,
      name: "e",
      state: w.using(new remoe.StepState(w.device, { layers: 2, experts: 3 })),
      layer: 1,
      kept: { rows: 4 },
      capacity: { rows: 8 },
    }),
    build: (device, options) => new remoe.MoE(device, options),
    sizes: ["hidden", "width"],
    shapes: moeShapes,
    needs: ["router"],
  }),
  ...built({
    variant: "with a user-defined router",
    of: "MoE",
    options: (w) => ({ router: first(w), hidden: 4, width: 2 }),
    build: (device, options) => new remoe.MoE(device, options),
    sizes: ["hidden", "width"],
    shapes: moeShapes,
    needs: ["router"],
  }),
  {
    of: "MoE.forward",
    make: (w) => [
      w.layer(new remoe.MoE(w.device, { router: relu(w), hidden: 4, width: 2, name: "x.experts" })),
      w.f32([5, 4]),
    ],
    call: (layer, x) => layer.forward(x).output,
    right: forwarded,
    object: true,
  },
  {
    of: "MoE.forward",
    variant: "with a context",
    make: (w) => [
      w.layer(new remoe.MoE(w.device, { router: relu(w), hidden: 4, width: 2, name: "x.experts" })),
      w.f32([5, 4]),
      { tokens: w.i32([1, 2, 3, 4, 5]), sequence: 5, training: true, step: 2, layer: 1 },
    ],
    call: (layer, x, context) => layer.forward(x, context).output,
    right: (layer, x, context) => {
      const y = forwarded(layer, x);
      demand(x.shape[0] === 5, "tokens");
      demandContext(context);
      return y;
    },
    object: true,
  },
];
