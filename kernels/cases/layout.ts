import { DTypeCode } from "../../lib/ffi/mod.ts";
import { type OperationCase, operationCase, output } from "./case.ts";
import { copyStrided, elementsOf } from "./reference/layout.ts";
import { type DType, ELEMENT_BYTES, stored } from "./stored.ts";
import { EXACT } from "./tolerance.ts";

/** A view to copy into a dense array. */
export interface View {
  /** Names the view. */
  readonly label: string;
  /** Elements of the source. */
  readonly elements: number;
  /** Shape of the view. */
  readonly shape: readonly number[];
  /** Source elements between neighbours, by axis of the view. */
  readonly strides: readonly number[];
  /** Offset of the view's first element in the source. */
  readonly first?: number;
  /** Element type, fp32 by default. */
  readonly dtype?: DType;
}

/**
 * A case of `remoe_copy_strided`.
 *
 * @param view The view.
 * @returns The case.
 */
export function copyStridedCase(view: View): OperationCase {
  const { label, elements, shape, strides, first = 0, dtype = "f32" } = view;
  const count = elementsOf(shape);
  const layout = Int32Array.of(shape.length, ...shape, ...strides);
  return operationCase({
    name: `copy_strided ${label} ${dtype}[${shape}]`,
    operation: "copy_strided",
    symbols: ["remoe_copy_strided"],
    flops: 0,
    bytes: 2 * count * ELEMENT_BYTES[dtype],
    inputs: (random) => ({
      // Small integers survive every dtype, bfloat16 included.
      source: stored(random.integers(elements, 256), dtype),
    }),
    outputs: { target: output(shape, EXACT, dtype) },
    call(k, at) {
      const source = at("source") + BigInt(first * ELEMENT_BYTES[dtype]);
      const code = DTypeCode[dtype];
      const status = k.symbols.remoe_copy_strided(k.handle, code, at("target"), source, layout);
      k.check(status, "copy_strided");
    },
    reference: ({ source }) => ({ target: copyStrided(source.subarray(first), shape, strides) }),
  });
}

/** Cases of copies through strides. */
export const LAYOUT_CASES: readonly OperationCase[] = [
  copyStridedCase({ label: "scalar", elements: 3, shape: [], strides: [], first: 1 }),
  copyStridedCase({ label: "dense", elements: 1003, shape: [17, 59], strides: [59, 1] }),
  copyStridedCase({ label: "transpose", elements: 17 * 59, shape: [59, 17], strides: [1, 59] }),
  copyStridedCase({
    label: "large transpose",
    elements: 300 * 257,
    shape: [257, 300],
    strides: [1, 257],
  }),
  copyStridedCase({
    label: "heads before rows",
    elements: 6 * 4 * 5,
    shape: [4, 6, 5],
    strides: [5, 20, 1],
  }),
  copyStridedCase({
    label: "columns 3 to 7",
    elements: 11 * 13,
    shape: [11, 5],
    strides: [13, 1],
    first: 3,
  }),
  copyStridedCase({
    label: "every other row",
    elements: 10 * 7,
    shape: [5, 7],
    strides: [14, 1],
  }),
  copyStridedCase({ label: "broadcast row", elements: 9, shape: [21, 9], strides: [0, 1] }),
  copyStridedCase({ label: "broadcast column", elements: 21, shape: [21, 9], strides: [1, 0] }),
  copyStridedCase({ label: "broadcast scalar", elements: 1, shape: [3, 4, 5], strides: [0, 0, 0] }),
  copyStridedCase({
    label: "eight axes reversed",
    elements: 2 ** 7 * 3,
    shape: [3, 2, 2, 2, 2, 2, 2, 2],
    strides: [1, 3, 6, 12, 24, 48, 96, 192],
  }),
  copyStridedCase({
    label: "columns 3 to 7",
    elements: 11 * 13,
    shape: [11, 5],
    strides: [13, 1],
    first: 3,
    dtype: "bf16",
  }),
  copyStridedCase({
    label: "large transpose",
    elements: 300 * 257,
    shape: [257, 300],
    strides: [1, 257],
    dtype: "bf16",
  }),
  copyStridedCase({
    label: "broadcast row",
    elements: 9,
    shape: [21, 9],
    strides: [0, 1],
    dtype: "bf16",
  }),
  ...(["bf16", "i32", "f64"] as const).map((dtype) =>
    copyStridedCase({
      label: "transpose",
      elements: 33 * 9,
      shape: [33, 9],
      strides: [1, 33],
      dtype,
    })
  ),
];
