/**
 * ReLU routing whose inputs are multiplied by a number: an example of a router of one's own.
 *
 *     deno task train --router docs/examples/scaled_relu_router.ts --set moe.input_scale=4
 *
 * @module
 */

import { LAMBDA_KEYS, type LambdaKeys, ReluRouter, scale } from "@remoe/remoe";
import type { Router, RouterRow, Tensor } from "@remoe/remoe";

interface Keys extends LambdaKeys {
  readonly input_scale: number;
}

const row: RouterRow<Keys> = {
  about: "ReLU routing on scaled inputs",
  // λ follows the sparsity, by the keys that the ReLU router has too.
  lambda: true,
  keys: {
    ...LAMBDA_KEYS,
    input_scale: { type: "number", above: 0, default: 2, about: "What inputs are multiplied by" },
  },
  build(device, place, { lambda0, alpha, input_scale }): Router {
    const inner = new ReluRouter(device, { ...place, lambda: lambda0, alpha });
    return {
      hidden: place.hidden,
      experts: place.experts,
      active: place.active,
      route: <T extends number>(x: Tensor<"f32", readonly [T, number]>) =>
        inner.route(scale(x, input_scale)),
      parameters: () => inner.parameters(),
      [Symbol.dispose]: () => inner[Symbol.dispose](),
    };
  },
};

export default row;
