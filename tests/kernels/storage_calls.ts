/** Calls of functions for which bf16 is only a storage format. @module */

import { Random } from "../../kernels/cases/random.ts";
import { BinaryCode, ReductionCode, type SymbolName, UnaryCode } from "../../lib/ffi/mod.ts";

/** Numbers of a fixed type. */
export type Numbers =
  | Float32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>;

/** An argument; text is the address of the buffer of that name. */
export type CallArgument = string | number | bigint | Int32Array<ArrayBuffer>;

/** A call whose activations may be fp32 or bf16. */
export interface StorageCall {
  /** What sets this call of the function apart. */
  readonly label: string;
  /** The function. */
  readonly symbol: SymbolName;
  /** What its buffers of activations hold before the call, outputs included. */
  readonly activations: Readonly<Record<string, Float32Array<ArrayBuffer>>>;
  /** The same for buffers whose type is fixed. */
  readonly others?: Readonly<Record<string, Numbers>>;
  /** Its arguments after the context, from the code of the activations' dtype. */
  args(dtype: number): readonly CallArgument[];
}

// Odd sizes, so that vectors, tails and several threads all take part.
const COUNT = 70_003;
const [ROWS, COLUMNS] = [301, 237];
const N = BigInt(COUNT);
const MASKS = [0, 1];

/** Normal numbers; `scale` is 1 by default. */
function normal(name: string, length: number, scale = 1): Float32Array<ArrayBuffer> {
  return new Random(name).normal(length, { scale });
}

/** Room for `length` numbers, with others in it that a call overwrites or adds to. */
function room(length: number): Float32Array<ArrayBuffer> {
  return normal("before", length);
}

const UNARY = Object.entries(UnaryCode).flatMap(([name, code]): StorageCall[] => {
  const x = normal(name, COUNT, 3).map((value) => name === "log" ? Math.abs(value) : value);
  return [
    {
      label: name,
      symbol: "remoe_unary",
      activations: { target: room(COUNT), x },
      args: (dtype) => [code, dtype, "target", "x", 1.7, N],
    },
    ...MASKS.map((mask): StorageCall => ({
      label: `${name}, accumulate ${mask}`,
      symbol: "remoe_unary_gradient",
      activations: { dx: room(COUNT), dy: normal("dy", COUNT), x },
      args: (dtype) => [code, dtype, "dx", "dy", "x", 1.7, N, mask],
    })),
  ];
});

/** Strides of both operands and how many elements they have. */
const BROADCASTS: Readonly<Record<string, readonly [number[], number, number]>> = {
  dense: [[COLUMNS, 1, COLUMNS, 1], ROWS * COLUMNS, ROWS * COLUMNS],
  "one row": [[COLUMNS, 1, 0, 1], ROWS * COLUMNS, COLUMNS],
  "column by row": [[1, 0, 0, 1], ROWS, COLUMNS],
  "one column": [[COLUMNS, 1, 1, 0], ROWS * COLUMNS, ROWS],
  transposed: [[1, ROWS, COLUMNS, 1], ROWS * COLUMNS, ROWS * COLUMNS],
};

const BINARY = Object.entries(BROADCASTS).flatMap(([label, [strides, ofA, ofB]]) =>
  Object.entries(BinaryCode).map(([name, code]): StorageCall => ({
    label: `${name}, ${label}`,
    symbol: "remoe_binary",
    activations: { target: room(ROWS * COLUMNS), a: normal("a", ofA), b: normal("b", ofB) },
    args: (dtype) => [code, dtype, "target", "a", "b", Int32Array.of(2, ROWS, COLUMNS, ...strides)],
  }))
);

const ACCUMULATE: readonly StorageCall[] = [
  {
    label: "of one dtype",
    symbol: "remoe_accumulate",
    activations: { target: room(COUNT), x: normal("x", COUNT) },
    args: (dtype) => [dtype, "target", dtype, "x", 0.3, N],
  },
  {
    label: "to fp32",
    symbol: "remoe_accumulate",
    activations: { x: normal("x", COUNT) },
    others: { target: room(COUNT) },
    args: (dtype) => [0, "target", dtype, "x", 0.3, N],
  },
  {
    label: "from fp32",
    symbol: "remoe_accumulate",
    activations: { target: room(COUNT) },
    others: { x: normal("x", COUNT) },
    args: (dtype) => [dtype, "target", 0, "x", 0.3, N],
  },
];

/** Which axes are reduced and how many outputs there are. */
const REDUCED: Readonly<Record<string, readonly [number[], number]>> = {
  columns: [[0, 1], ROWS],
  rows: [[1, 0], COLUMNS],
  "all axes": [[1, 1], 1],
};

const REDUCE = Object.entries(REDUCED).flatMap(([axes, [flags, outputs]]) =>
  Object.entries(ReductionCode).flatMap(([name, code]) =>
    MASKS.map((mask): StorageCall => ({
      label: `${name} over ${axes}, accumulate ${mask}`,
      symbol: "remoe_reduce",
      activations: { target: room(outputs), x: normal("x", ROWS * COLUMNS) },
      args: (
        dtype,
      ) => [code, dtype, "target", "x", Int32Array.of(2, ROWS, COLUMNS, ...flags), mask],
    }))
  )
);

/** Rows of several of the blocks that are summed. */
const LONG = { rows: 29, columns: 2411 };
const LONG_SIZE = LONG.rows * LONG.columns;

const SOFTMAX: readonly StorageCall[] = [
  {
    label: "",
    symbol: "remoe_softmax",
    activations: { target: room(LONG_SIZE), x: normal("x", LONG_SIZE, 2) },
    args: (dtype) => [dtype, "target", "x", LONG.rows, LONG.columns],
  },
  {
    label: "in place",
    symbol: "remoe_softmax",
    activations: { x: normal("x", LONG_SIZE, 2) },
    args: (dtype) => [dtype, "x", "x", LONG.rows, LONG.columns],
  },
  ...MASKS.map((mask): StorageCall => ({
    label: `accumulate ${mask}`,
    symbol: "remoe_softmax_gradient",
    activations: {
      dx: room(LONG_SIZE),
      dy: normal("dy", LONG_SIZE),
      y: normal("y", LONG_SIZE, 1 / LONG.columns),
    },
    args: (dtype) => [dtype, "dx", "dy", "y", LONG.rows, LONG.columns, mask],
  })),
];

/** With a row whose squares overflow, so that its mean is taken in fp64. */
const NORMED = normal("x", ROWS * COLUMNS).map((x, i) => i < COLUMNS ? x * 1e30 : x);

const RMS_NORM: readonly StorageCall[] = [
  {
    label: "",
    symbol: "remoe_rms_norm_forward",
    activations: { y: room(ROWS * COLUMNS), x: NORMED },
    others: { inverse: room(ROWS), weight: normal("weight", COLUMNS) },
    args: (dtype) => [dtype, "y", "inverse", "x", "weight", ROWS, COLUMNS, 1e-5],
  },
  ...[0, 1, 2, 3].map((mask): StorageCall => ({
    label: `accumulate ${mask}`,
    symbol: "remoe_rms_norm_gradient",
    activations: {
      dx: room(ROWS * COLUMNS),
      dy: normal("dy", ROWS * COLUMNS),
      x: normal("x", ROWS * COLUMNS),
    },
    others: {
      dweight: room(COLUMNS),
      inverse: normal("inverse", ROWS),
      weight: normal("weight", COLUMNS),
    },
    args: (dtype) => [dtype, "dx", "dweight", "dy", "inverse", "x", "weight", ROWS, COLUMNS, mask],
  })),
];

const ROPE = [0, 1].map((inverse): StorageCall => ({
  label: `inverse ${inverse}`,
  symbol: "remoe_rope",
  activations: { x: normal("x", 130 * 241) },
  args: (dtype) => [dtype, "x", 130, 241, 64, 3, 70, 1e4, 3, inverse],
}));

const VOCABULARY = 97;
const TOKENS = new Random("tokens").integers(ROWS, VOCABULARY);

const EMBEDDING: readonly StorageCall[] = [
  {
    label: "",
    symbol: "remoe_embedding_forward",
    activations: { y: room(ROWS * COLUMNS), table: normal("table", VOCABULARY * COLUMNS) },
    others: { tokens: TOKENS },
    args: (dtype) => [dtype, "y", "table", "tokens", ROWS, COLUMNS, VOCABULARY],
  },
  ...MASKS.map((mask): StorageCall => ({
    label: `accumulate ${mask}`,
    symbol: "remoe_embedding_gradient",
    activations: { dy: normal("dy", ROWS * COLUMNS) },
    others: { dtable: room(VOCABULARY * COLUMNS), tokens: TOKENS },
    args: (dtype) => [dtype, "dtable", "dy", "tokens", ROWS, COLUMNS, VOCABULARY, mask],
  })),
];

const SWIGLU: readonly StorageCall[] = [
  {
    label: "",
    symbol: "remoe_swiglu_forward",
    activations: { a: room(ROWS * COLUMNS), h: normal("h", 2 * ROWS * COLUMNS, 3) },
    args: (dtype) => [dtype, "a", "h", ROWS, COLUMNS],
  },
  ...MASKS.map((mask): StorageCall => ({
    label: `accumulate ${mask}`,
    symbol: "remoe_swiglu_gradient",
    activations: {
      dh: room(2 * ROWS * COLUMNS),
      da: normal("da", ROWS * COLUMNS),
      h: normal("h", 2 * ROWS * COLUMNS, 3),
    },
    args: (dtype) => [dtype, "dh", "da", "h", ROWS, COLUMNS, mask],
  })),
];

const ROUTED = { hidden: 75, experts: 13, active: 3 };
/** The sizes that all routers take; the last tile of tokens is not full. */
const SIZES = [ROWS, ROUTED.hidden, ROUTED.experts];

/** A router, whose outputs are fp32. */
function router(name: string, args: readonly CallArgument[]): StorageCall {
  return {
    label: "",
    symbol: `remoe_${name}_router_forward` as SymbolName,
    activations: { x: normal("x", ROWS * ROUTED.hidden) },
    others: {
      gates: room(ROWS * ROUTED.experts),
      kept: room(ROWS * ROUTED.experts),
      order: new Int32Array(ROWS * ROUTED.active),
      mask: new Int32Array(ROWS),
      counts: new Int32Array(ROUTED.experts),
      sums: room(ROUTED.experts),
      w: normal("w", ROUTED.hidden * ROUTED.experts),
    },
    args: (dtype) => [dtype, ...args],
  };
}

const { active } = ROUTED;
const ROUTERS: readonly StorageCall[] = [
  router("relu", ["gates", "mask", "counts", "sums", "x", "w", ...SIZES, 0]),
  router("topk", [
    ...["gates", "kept", "mask", "counts", "sums"],
    ...[0n, 0n, "x", "w", ...SIZES, active, 1],
  ]),
  router("expert_choice", ["gates", "kept", "mask", "counts", "x", "w", ...SIZES, 100, 20]),
  router("sparsemixer", [
    ...["gates", "kept", "order", "mask", "counts", "sums"],
    ...[0n, "x", "w", ...SIZES, active, 0.1],
  ]),
  router("sigmoid", [
    ...["gates", "kept", "mask", "counts", "sums"],
    ...[0n, "x", "w", ...SIZES, active, 1],
  ]),
];

/** The calls, in odd sizes. */
export const STORAGE_CALLS: readonly StorageCall[] = [
  ...[UNARY, BINARY, ACCUMULATE, REDUCE, SOFTMAX].flat(),
  ...[RMS_NORM, ROPE, EMBEDDING, SWIGLU, ROUTERS].flat(),
];
