/** Routing by ReLU(x W - b), where b follows the load. See docs/write-a-router.md. @module */

import { matmul, readSync, relu, routingOf, subtract, write } from "@remoe/remoe";
import type { Router, RouterRow, Routing, Tensor } from "@remoe/remoe";

interface Keys {
  readonly threshold_rate: number;
}

const row: RouterRow<Keys> = {
  about: "ReLU(x W - b): experts with more than their share of the rows close a little",
  keys: {
    threshold_rate: { type: "number", default: 0.01, about: "Change of a threshold per step" },
  },
  build(device, { hidden, experts, active, deviation, name }, { threshold_rate }): Router {
    const weight = device.parameter([hidden, experts], { deviation, name });
    const threshold = device.parameter([experts], { deviation: 0, name: `${name}.threshold` });
    return {
      ...{ hidden, experts, active },
      route<T extends number>(x: Tensor<"f32", readonly [T, number]>) {
        const logits: Tensor<"f32", readonly [number, number]> = matmul(x, weight);
        const gates = relu(subtract(logits, threshold));
        return routingOf(gates, { active }) as Routing<T, number>;
      },
      parameters: () => [weight],
      buffers: () => [threshold],
      afterStep(counts) {
        const share = counts.reduce((sum, count) => sum + count, 0) / experts;
        // Read, not remembered: a resumed run has what the checkpoint holds, and nothing else.
        const values = readSync(threshold);
        write(
          threshold,
          values.map((value, e) => value + threshold_rate * Math.sign(counts[e]! - share)),
        );
      },
      [Symbol.dispose]() {
        weight[Symbol.dispose]();
        threshold[Symbol.dispose]();
      },
    };
  },
};

export default row;
