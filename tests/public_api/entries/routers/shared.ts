/** What the entries of routers share. @module */

import * as remoe from "@remoe/remoe";
import type { DType } from "../../../../lib/tensor/dtype.ts";
import { demand, demandTensor, type Entry, f32, type HostTensor } from "../../entry.ts";
import { weights } from "../../world.ts";
import { demandForward } from "../layers.ts";
import { product } from "../products.ts";

/** The sizes of every router here. */
export const SIZES = { hidden: 4, experts: 3, active: 2 };

/** Types of the states that the library's routers take. */
export const STATES: readonly DType[] = ["f32", "bf16"];

/** The logits of a router whose weights are the world's. */
export function logits(x: unknown): HostTensor {
  demandTensor(x, STATES);
  demand(x.shape.length === 2 && x.shape[1] === SIZES.hidden, "shape");
  const shape = [SIZES.hidden, SIZES.experts];
  return product(f32(x.shape, x.data), f32(shape, weights(shape)));
}

/** Counts of routed pairs, and gates, as every router returns them. */
export async function routed(routing: remoe.Routing) {
  const [gates, counts] = [routing.gates, await remoe.read(routing.counts)];
  return { gates, counts: [...counts], sparsity: await routing.sparsity() };
}

/** What {@linkcode routed} returns for these gates. */
export function right(gates: HostTensor) {
  const [tokens, experts] = gates.shape as readonly [number, number];
  const counts = Array.from(
    { length: experts },
    (_, e) => gates.data.filter((gate, i) => i % experts === e && gate !== 0).length,
  );
  const total = counts.reduce((sum, count) => sum + count, 0);
  return { gates, counts, sparsity: 1 - total / (tokens * experts) };
}

/** The largest logits: the first among equals, and a NaN only where no number is left before it. */
export function largest(logits: readonly number[], count: number): number[] {
  const chosen: number[] = [];
  while (chosen.length < count) {
    const left = [...logits.keys()].filter((e) => !chosen.includes(e));
    chosen.push(left.reduce((best, e) => logits[e]! > logits[best]! ? e : best));
  }
  return chosen;
}

/** Refuses a factor of the gates that routers refuse. */
export function demandScale({ gateScale = 1 }: { gateScale?: number }): void {
  demand(Number.isFinite(gateScale) && gateScale > 0, "gateScale");
}

/** A context of five tokens; undefined: the default one. */
export function demandContext(context: unknown): void {
  if (context === undefined) return;
  demand(typeof context === "object" && context !== null && !Array.isArray(context), "context");
  const { tokens, sequence = 5, layer = 0 } = context as Record<string, unknown>;
  if (tokens !== undefined && tokens !== null) {
    demandTensor(tokens, ["i32"]);
    demand(tokens.shape.join() === "5", "tokens");
  }
  demand(sequence === 1 || sequence === 5, "sequence");
  demand(Number.isSafeInteger(layer) && layer as number >= 0, "layer");
  demandForward(context);
}

/** The entry of a router's weights. */
export function weightEntry(
  Router: new (device: remoe.Device, options: typeof SIZES) => remoe.Router,
): Entry {
  return {
    of: `${Router.name}.weight`,
    make: (w) => [w.layer(new Router(w.device, SIZES))],
    call: (router) => router.weight,
    right: () => f32([4, 3], weights([4, 3])),
    object: true,
  };
}
