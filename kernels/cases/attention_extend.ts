import { spread } from "./attention.ts";
import { type OperationCase, operationCase, output } from "./case.ts";
import { extendToken } from "./reference/attention_extend.ts";
import { activations, type Real } from "./stored.ts";
import { plus, rounded, summed } from "./tolerance.ts";

/** Sizes of attention against a cache. */
export interface AttentionExtendOptions {
  /** Tokens of each row of the cache before the new ones. */
  readonly lengths: readonly number[];
  /** New tokens of each sequence; by default one each, which is passed as no list. */
  readonly counts?: readonly number[];
  /** Row of each sequence; by default all in order, which is passed as no list. */
  readonly rows?: readonly number[];
  /** Capacity of the cache in tokens. */
  readonly capacity: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly groups: number;
  /** Columns per head. */
  readonly headDim: number;
  /** Unused columns after the values. */
  readonly padding?: number;
  /** Element type of the activations, fp32 by default. */
  readonly dtype?: Real;
}

/** Base of the rotary angles. */
export const BASE = 10_000;

/** A new token: its row, and the tokens before it there. */
export interface NewToken {
  /** Row of the cache. */
  readonly row: number;
  /** Its position in the row. */
  readonly position: number;
}

/**
 * The new tokens of a case, in their order.
 *
 * @param options Its sizes.
 * @returns A place for each.
 */
export function newTokens({ lengths, counts, rows }: AttentionExtendOptions): NewToken[] {
  const chosen = rows ?? lengths.map((_, row) => row);
  return chosen.flatMap((row, i) =>
    Array.from({ length: counts?.[i] ?? 1 }, (_, t) => ({ row, position: lengths[row]! + t }))
  );
}

/**
 * A case of `remoe_attention_extend`.
 *
 * @param options Sizes.
 * @returns The case.
 */
export function attentionExtendCase(options: AttentionExtendOptions): OperationCase {
  const { lengths, counts, rows, capacity, heads, groups, headDim, padding = 0 } = options;
  const batch = lengths.length;
  const sequences = rows?.length ?? batch;
  const places = newTokens(options);
  const tokens = places.length;
  const stride = (heads + 2 * groups) * headDim + padding;
  const row = 2 * groups * headDim;
  const seen = places.reduce((sum, { position }) => sum + position + 1, 0);
  const read = new Map(places.map((place) => [place.row, place.position + 1]));
  const kept = [...read.values()].reduce((sum, length) => sum + length, 0);
  const { dtype, code, bytes, rounding, store, ...inDtype } = activations(options.dtype);
  const scores = plus(inDtype.product(headDim, 1 / Math.sqrt(headDim)), rounded(8));
  // Of q when it is rotated and when it is scaled, of the new k, and of the weights, of which those
  // of many keys even out.
  const inside = inDtype.boundaries(1, 4);
  const share = (index: number) => spread(places[Math.floor(index / (heads * headDim))]!.position);
  return operationCase({
    name: `attention_extend lengths ${listed(lengths)} of ${capacity}` +
      `${rows === undefined ? "" : ` rows ${rows}`}` +
      `${counts === undefined ? "" : ` by ${listed(counts)}`} ${heads}/${groups} heads ` +
      `of ${headDim}${padding === 0 ? "" : ` padding ${padding}`}${inDtype.suffix}`,
    operation: "attention_extend",
    symbols: ["remoe_attention_extend"],
    flops: 4 * seen * heads * headDim,
    bytes: bytes * kept * row,
    dtype,
    inputs: (random) => ({
      qkv: store(random.normal(tokens * stride)),
      cache: store(random.normal(batch * capacity * row)),
      lengths: Int32Array.from(lengths),
      ...rows === undefined ? {} : { rows: Int32Array.from(rows) },
      ...counts === undefined ? {} : { starts: Int32Array.from(startsOf(counts)) },
    }),
    outputs: {
      out: output(
        [tokens, heads * headDim],
        plus(plus(scores, plus(rounded(16), summed(8))), plus(inside, rounding)),
        dtype,
        dtype === "bf16" ? share : undefined,
      ),
      cache: output([batch, capacity, row], plus(rounded(8, 2), rounding), dtype),
      qkv: output([tokens, stride], plus(rounded(8, 2), rounding), dtype),
    },
    call(k, at) {
      const status = k.symbols.remoe_attention_extend(
        k.handle,
        code,
        at("out"),
        at("qkv"),
        at("cache"),
        at("lengths"),
        rows === undefined ? 0n : at("rows"),
        counts === undefined ? 0n : at("starts"),
        tokens,
        sequences,
        batch,
        capacity,
        heads,
        groups,
        headDim,
        stride,
        BASE,
      );
      k.check(status, "attention_extend");
    },
    reference: ({ qkv, cache }) => {
      const after = cache.slice();
      const turned = qkv.slice();
      const out = places.flatMap((place, i) => [
        ...extendToken(
          turned.subarray(i * stride, (i + 1) * stride),
          after.subarray(place.row * capacity * row, (place.row + 1) * capacity * row),
          place.position,
          { heads, groups, headDim, ropeBase: BASE },
        ),
      ]);
      return { out: Float64Array.from(out), cache: after, qkv: turned };
    },
  });
}

function startsOf(counts: readonly number[]): number[] {
  const starts = [0];
  for (const count of counts) starts.push(starts.at(-1)! + count);
  return starts;
}

function listed(lengths: readonly number[]): string {
  const areEqual = lengths.length > 1 && lengths.every((length) => length === lengths[0]);
  return areEqual ? `${lengths.length} x ${lengths[0]}` : lengths.join(",");
}

const SIZES: readonly AttentionExtendOptions[] = [
  { lengths: [0], capacity: 1, heads: 1, groups: 1, headDim: 2 },
  { lengths: [3, 0, 7], capacity: 8, heads: 4, groups: 2, headDim: 8 },
  { lengths: [33], capacity: 40, heads: 6, groups: 2, headDim: 18, padding: 3 },
  { lengths: [200, 255], capacity: 256, heads: 4, groups: 2, headDim: 32 },
  { lengths: [599, 5, 256], capacity: 600, heads: 6, groups: 1, headDim: 64 },
  { lengths: [20], capacity: 32, heads: 5, groups: 1, headDim: 256 },
  { lengths: [70], capacity: 80, heads: 2, groups: 1, headDim: 128 },
  { lengths: [3, 0, 7], rows: [2, 0], capacity: 8, heads: 4, groups: 2, headDim: 8 },
  // Few and many tokens, from the start and not, in blocks that begin anywhere.
  { lengths: [5, 0, 2], counts: [2, 3, 1], capacity: 8, heads: 2, groups: 1, headDim: 6 },
  { lengths: [0], counts: [150], capacity: 150, heads: 2, groups: 2, headDim: 16 },
  {
    ...{ lengths: [0, 61, 130, 9, 64], rows: [3, 1, 4, 2], counts: [4, 70, 1, 20] },
    ...{ capacity: 160, heads: 4, groups: 2, headDim: 24, padding: 5 },
  },
  { lengths: [300, 1], counts: [65, 9], capacity: 400, heads: 3, groups: 1, headDim: 66 },
];

/** Cases of attention against a cache. */
export const ATTENTION_EXTEND_CASES: readonly OperationCase[] = (["f32", "bf16"] as const).flatMap(
  (dtype) => SIZES.map((sizes) => attentionExtendCase({ ...sizes, dtype })),
);
