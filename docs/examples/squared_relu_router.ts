/** Routing by ReLU(x W)²: gates open smoothly. See docs/write-a-router.md. @module */

import { LAMBDA_KEYS, type LambdaKeys, matmul, relu, routingOf, scale, square } from "@remoe/remoe";
import type { RouterRow, Tensor } from "@remoe/remoe";

interface Keys extends LambdaKeys {
  readonly sharpness: number;
}

const row: RouterRow<Keys> = {
  about: "ReLU(x W)², held at its sparsity by λ",
  lambda: true,
  keys: {
    ...LAMBDA_KEYS,
    sharpness: { type: "number", above: 0, default: 1, about: "Factor of the gates" },
  },
  build(device, { hidden, experts, active, deviation, name, state }, { sharpness }) {
    const weight = device.parameter([hidden, experts], { deviation, name });
    return {
      ...{ hidden, experts, active },
      route<T extends number>(x: Tensor<"f32", readonly [T, number]>) {
        const gates = scale(square(relu(matmul(x, weight))), sharpness);
        return routingOf(gates, { active, regularization: { state } });
      },
      parameters: () => [weight],
      [Symbol.dispose]: () => weight[Symbol.dispose](),
    };
  },
};

export default row;
