import { type OperationCase, operationCase, output } from "./case.ts";
import { gemm, type GemmSizes } from "./reference/gemm.ts";
import { activations } from "./stored.ts";
import { plus, summed } from "./tolerance.ts";

/** The dtypes of A, B and C, by the name of a storage. */
const STORAGES = {
  "f32": ["f32", "f32", "f32"],
  // fp32 that holds bfloat16 numbers.
  "rounded": ["f32", "f32", "f32"],
  "bf16": ["bf16", "bf16", "bf16"],
  "bf16 to f32": ["bf16", "bf16", "f32"],
  "bf16 by f32": ["bf16", "f32", "f32"],
  "f32 by bf16": ["f32", "bf16", "f32"],
  "f32 by bf16 to bf16": ["f32", "bf16", "bf16"],
  "f32 to bf16": ["f32", "f32", "bf16"],
} as const;

/** Sizes of a product and how its matrices are stored. */
export interface GemmCaseOptions extends GemmSizes {
  /** How A, B and C are stored, by default in fp32. */
  readonly storage?: keyof typeof STORAGES;
}

/**
 * A case of `remoe_gemm`.
 *
 * @param options Sizes, layout, factors and storage.
 * @returns The case.
 */
export function gemmCase(options: GemmCaseOptions): OperationCase {
  const { m, n, k: inner, transposeA = false, transposeB = false } = options;
  const { alpha = 1, beta = 0, storage = "f32" } = options;
  const { lda = transposeA ? m : inner, ldb = transposeB ? inner : n, ldc = n } = options;
  const [rowsA, rowsB] = [transposeA ? inner : m, transposeB ? n : inner];
  const [dtypeA, dtypeB, dtypeC] = STORAGES[storage];
  const [inA, inB, inC] = [activations(dtypeA), activations(dtypeB), activations(dtypeC)];
  const isBf16 = [dtypeA, dtypeB, dtypeC].includes("bf16");
  // C is an input if it is read, or if gaps between its rows must survive.
  const isInPlace = beta !== 0 || ldc !== n;
  // If only one of A and B is bfloat16, the product is one of fp32.
  const product = dtypeA === dtypeB ? inA.product : summed;
  const accumulated = plus(
    product(inner, Math.abs(alpha)),
    { rtol: 0, atol: 2 ** -22 * Math.abs(beta) },
  );
  return operationCase({
    name: gemmName(options),
    operation: "gemm",
    symbols: ["remoe_gemm"],
    flops: 2 * m * n * inner,
    bytes: inA.bytes * m * inner + inB.bytes * inner * n + inC.bytes * m * n,
    dtype: isBf16 ? "bf16" : "f32",
    inputs: (random) => {
      const draw = (count: number) => random.normal(count, { bf16: storage === "rounded" });
      const c = random.normal(m * ldc);
      return {
        a: inA.store(draw(rowsA * lda)),
        b: inB.store(draw(rowsB * ldb)),
        ...(isInPlace ? { c: inC.store(c) } : {}),
      };
    },
    outputs: { c: output([m, ldc], plus(accumulated, inC.rounding), dtypeC) },
    call(k, at) {
      const status = k.symbols.remoe_gemm(
        k.handle,
        inA.code,
        inB.code,
        inC.code,
        Number(transposeA),
        Number(transposeB),
        m,
        n,
        inner,
        alpha,
        at("a"),
        lda,
        at("b"),
        ldb,
        beta,
        at("c"),
        ldc,
      );
      k.check(status, "gemm");
    },
    reference: ({ a, b, c }) => ({
      c: gemm(a, b, c ?? new Float64Array(m * n), {
        ...options,
        alpha: Math.fround(alpha),
        beta: Math.fround(beta),
      }),
    }),
  });
}

function gemmName(options: GemmCaseOptions): string {
  const { m, n, k, transposeA = false, transposeB = false, alpha = 1, beta = 0 } = options;
  const { lda, ldb, ldc, storage = "f32" } = options;
  const notes = [
    alpha === 1 ? "" : ` alpha ${alpha}`,
    beta === 0 ? "" : ` beta ${beta}`,
    lda === undefined ? "" : ` lda ${lda}`,
    ldb === undefined ? "" : ` ldb ${ldb}`,
    ldc === undefined ? "" : ` ldc ${ldc}`,
    storage === "f32" ? "" : ` ${storage}`,
  ];
  const [a, b] = [
    transposeA ? `[${k},${m}]^T` : `[${m},${k}]`,
    `[${transposeB ? `${n},${k}` : `${k},${n}`}]`,
  ];
  return `gemm ${a}x${b}${transposeB ? "^T" : ""}${notes.join("")}`;
}

const TRANSPOSES = [
  {},
  { transposeB: true },
  { transposeA: true },
  { transposeA: true, transposeB: true },
] as const;

/** Cases of dense products. */
export const GEMM_CASES: readonly OperationCase[] = [
  gemmCase({ m: 1, n: 1, k: 1 }),
  ...TRANSPOSES.flatMap((flags) => [
    gemmCase({ m: 3, n: 5, k: 7, ...flags }),
    gemmCase({ m: 33, n: 17, k: 65, ...flags }),
    gemmCase({ m: 130, n: 100, k: 129, ...flags }),
    gemmCase({ m: 9, n: 6, k: 11, alpha: -0.5, beta: 2, ...flags }),
    gemmCase({ m: 5, n: 9, k: 6, lda: 14, ldb: 12, ldc: 15, beta: 1, ...flags }),
    gemmCase({ m: 20, n: 24, k: 16, storage: "bf16 to f32", ...flags }),
  ]),
  gemmCase({ m: 1, n: 257, k: 128 }),
  gemmCase({ m: 257, n: 1, k: 31 }),
  gemmCase({ m: 64, n: 8, k: 1 }),
  gemmCase({ m: 4, n: 3, k: 20_000 }),
  gemmCase({ m: 7, n: 5, k: 3, ldc: 8 }),
  // Beyond every block of rows, columns and depth that a kernel is likely to split a product into.
  gemmCase({ m: 260, n: 1030, k: 390, transposeB: true }),
  gemmCase({ m: 256, n: 384, k: 128 }),
  gemmCase({ m: 128, n: 384, k: 256, transposeA: true, beta: 1 }),
  gemmCase({ m: 33, n: 40, k: 50, storage: "rounded" }),
  gemmCase({ m: 16, n: 16, k: 16, alpha: 0, beta: 0.5 }),
  ...TRANSPOSES.flatMap((flags) =>
    ([
      { m: 3, n: 5, k: 7 },
      { m: 33, n: 17, k: 65 },
      { m: 130, n: 100, k: 129 },
      { m: 9, n: 6, k: 11, alpha: -0.5, beta: 2 },
      { m: 5, n: 9, k: 6, lda: 14, ldb: 12, ldc: 15, beta: 1 },
    ] as const).map((sizes) => gemmCase({ ...sizes, ...flags, storage: "bf16" }))
  ),
  ...([
    { m: 1, n: 1, k: 1 },
    { m: 1, n: 257, k: 128 },
    { m: 257, n: 1, k: 31 },
    { m: 64, n: 8, k: 1 },
    { m: 33, n: 40, k: 50 },
    { m: 7, n: 5, k: 3, ldc: 8 },
    { m: 4, n: 3, k: 2501 },
    { m: 260, n: 1030, k: 390, transposeB: true },
    { m: 256, n: 384, k: 128 },
  ] as const).map((sizes) => gemmCase({ ...sizes, storage: "bf16" })),
  // Gradients of a router's input and weights.
  ...[1, 8, 32, 70].flatMap((k) => [
    gemmCase({ m: 70, n: 300, k, transposeB: true, storage: "f32 to bf16", beta: 1 }),
    gemmCase({ m: 64, n: 260, k, transposeA: true }),
  ]),
  gemmCase({ m: 65, n: 67, k: 9, lda: 12, ldb: 11, ldc: 70, beta: 0.5, transposeB: true }),
  ...[4, 8, 12, 64].flatMap((n) => [
    gemmCase({ m: 136, n, k: 530, transposeA: true, storage: "bf16 by f32", beta: 1 }),
    gemmCase({ m: 264, n, k: 263, transposeA: true, lda: 272, ldb: 68, alpha: 0.5 }),
  ]),
  // Gradients of weights.
  gemmCase({ m: 128, n: 384, k: 256, transposeA: true, beta: 1, storage: "bf16 to f32" }),
  gemmCase({ m: 33, n: 17, k: 65, transposeA: true, ldc: 21, beta: 1, storage: "bf16 to f32" }),
  ...(["bf16 by f32", "f32 by bf16", "f32 by bf16 to bf16", "f32 to bf16"] as const).flatMap(
    (storage) => [
      gemmCase({ m: 33, n: 40, k: 51, storage }),
      gemmCase({ m: 9, n: 70, k: 33, transposeA: true, transposeB: true, beta: 0.5, storage }),
    ],
  ),
];
