/** Finds the first tensor that is not finite. @module */

import { StateSlot, TensorWord } from "../ffi/codes.ts";
import { DTYPE_CODE, FLOATS } from "../tensor/dtype.ts";
import type { Gradient, OperationObserver, TapeNode } from "../tensor/recorder.ts";
import type { DeviceTensor } from "../tensor/tensor.ts";
import { download, fill } from "../tensor/transfer.ts";
import { parameterOf, type ParameterTensor } from "./parameter.ts";

/** Where a table row's flags hold the gradient's element type. */
const DTYPE_SHIFT = 8n;

/**
 * Tells whether all elements of some f32 or bf16 tensors are finite. The device checks this with the norm
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
  tensors.forEach(({ address, size, dtype }, i) => {
    words[i * TensorWord.words + TensorWord.gradient] = address;
    words[i * TensorWord.words + TensorWord.elements] = BigInt(size);
    words[i * TensorWord.words + TensorWord.flags] = BigInt(DTYPE_CODE[dtype]) << DTYPE_SHIFT;
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
    const weights = parametersIn(node.inputs);
    for (const weight of weights) this.check(weight, () => `the weight ${weight.name}`);
    const place = this.#placeOf(node);
    for (const output of node.outputs) this.check(output, () => `the output of ${place}`);
    this.#last = weights[0]?.name ?? this.#last;
  }

  backward(
    node: TapeNode,
    gradientOf: (tensor: DeviceTensor) => Gradient | null,
  ): void {
    if (this.found !== null) return;
    // Going backward, the weights of the preceding operation are unknown.
    this.#last = null;
    for (const input of node.inputs) {
      const weight = parameterOf(input);
      const gradient = weight === null ? gradientOf(input) : weight.gradient;
      if (gradient === null) continue;
      this.check(
        gradient,
        () =>
          weight === null
            ? `the gradient that ${this.#placeOf(node)} passes back`
            : `the gradient of ${weight.name}`,
      );
    }
  }

  /** Checks one more tensor. */
  check(tensor: DeviceTensor, name: () => string): void {
    const isChecked = (FLOATS as readonly string[]).includes(tensor.dtype);
    if (this.found !== null || !isChecked || tensor.size === 0) return;
    if (areFinite([tensor])) this.finite++;
    else this.found = name();
  }

  #placeOf({ operation, inputs }: TapeNode): string {
    const own = parametersIn(inputs)[0]?.name;
    if (own !== undefined) return `${operation} in ${moduleOf(own)}`;
    return this.#last === null ? operation : `${operation} after ${moduleOf(this.#last)}`;
  }
}

function parametersIn(inputs: readonly DeviceTensor[]): ParameterTensor[] {
  return inputs.map(parameterOf).filter((parameter) => parameter !== null);
}

/** Returns `model.norm` for `model.norm.weight`. */
function moduleOf(parameter: string): string {
  const dot = parameter.lastIndexOf(".");
  return dot < 0 ? parameter : parameter.slice(0, dot);
}
