/** Finds the first tensor that is not finite. @module */

import { StateSlot, TensorWord } from "../ffi/codes.ts";
import type { OperationObserver, TapeNode } from "../tensor/recorder.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { download, fill } from "../tensor/transfer.ts";
import { isParameter } from "./parameter.ts";

/**
 * Tells whether all elements of some fp32 tensors are finite. The device checks this with the norm
 * that gradient clipping uses: one call, whatever the number of tensors, and one small read.
 */
export function areFinite(tensors: readonly DeviceTensor[]): boolean {
  const [first] = tensors;
  if (first === undefined) return true;
  const { memory } = first;
  const { kernels: k } = memory;
  using _scratch = memory.openPause();
  const state = memory.allocate("f64", [StateSlot.header]);
  fill(state, 0);
  const words = new BigUint64Array(tensors.length * TensorWord.words);
  tensors.forEach(({ address, size }, i) => {
    words[i * TensorWord.words + TensorWord.gradient] = address;
    words[i * TensorWord.words + TensorWord.elements] = BigInt(size);
  });
  const table = memory.allocate("f64", [words.length]);
  k.writeBytes(table.address, new Uint8Array(words.buffer));
  k.check(
    k.symbols.remoe_gradient_norm(k.handle, state.address, table.address, tensors.length, 0),
    "look for numbers that are not finite",
  );
  return download(state)[StateSlot.notFinite] === 0;
}

/**
 * Checks each tensor of a pass in order of creation: an operation's weights, its outputs, then in
 * the backward pass the gradients.
 */
export class FirstNotFinite implements OperationObserver {
  /** Such as `the output of experts in model.layers.1…`; null if nothing was found so far. */
  found: string | null = null;
  /** Number of finite tensors before it. */
  finite = 0;
  /** The last weight seen, to locate operations that have none. */
  #last: string | null = null;

  forward(node: TapeNode): void {
    if (this.found !== null) return;
    const weights = node.inputs.filter(isParameter);
    for (const weight of weights) this.check(weight, () => `the weight ${weight.name}`);
    const place = this.#placeOf(node);
    for (const output of node.outputs) this.check(output, () => `the output of ${place}`);
    this.#last = weights[0]?.name ?? this.#last;
  }

  backward(
    node: TapeNode,
    gradientOf: (tensor: DeviceTensor) => DeviceTensor<"f32"> | null,
  ): void {
    if (this.found !== null) return;
    // Going backward, the weights of the preceding operation are unknown.
    this.#last = null;
    for (const input of node.inputs) {
      const gradient = isParameter(input) ? input.gradient : gradientOf(input);
      if (gradient === null) continue;
      this.check(
        gradient,
        () =>
          isParameter(input)
            ? `the gradient of ${input.name}`
            : `the gradient that ${this.#placeOf(node)} passes back`,
      );
    }
  }

  /** Checks one more tensor. */
  check(tensor: DeviceTensor, name: () => string): void {
    if (this.found !== null || tensor.dtype !== "f32" || tensor.size === 0) return;
    if (areFinite([tensor])) this.finite++;
    else this.found = name();
  }

  #placeOf({ operation, inputs }: TapeNode): string {
    const own = inputs.find(isParameter)?.name;
    if (own !== undefined) return `${operation} in ${moduleOf(own)}`;
    return this.#last === null ? operation : `${operation} after ${moduleOf(this.#last)}`;
  }
}

/** Returns `model.norm` for `model.norm.weight`. */
function moduleOf(parameter: string): string {
  const dot = parameter.lastIndexOf(".");
  return dot < 0 ? parameter : parameter.slice(0, dot);
}
