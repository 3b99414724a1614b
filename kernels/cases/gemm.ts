import { DTypeCode } from "../../lib/ffi/mod.ts";
import { type OperationCase, operationCase, output } from "./case.ts";
import { toBfloat16 } from "./random.ts";
import { gemm, type GemmSizes } from "./reference/gemm.ts";
import { plus, summed } from "./tolerance.ts";

/** Sizes of a product and how its matrices are stored. */
export interface GemmCaseOptions extends GemmSizes {
  /**
   * How A and B are stored: fp32, fp32 rounded to bfloat16 values, bfloat16 with an fp32 result, or
   * all three in bfloat16.
   */
  readonly storage?: "f32" | "rounded" | "bf16 to f32" | "bf16";
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
  const isBf16 = storage.startsWith("bf16");
  const [dtype, dtypeC] = [isBf16 ? "bf16" : "f32", storage === "bf16" ? "bf16" : "f32"] as const;
  // C is an input if it is read, or if gaps between its rows must survive.
  const isInPlace = beta !== 0 || ldc !== n;
  const accumulated = plus(
    summed(inner, Math.abs(alpha)),
    { rtol: 0, atol: 2 ** -22 * Math.abs(beta) },
  );
  const tolerance = storage === "bf16"
    ? plus(accumulated, { rtol: 2 ** -8, atol: 0 })
    : accumulated;
  return operationCase({
    name: gemmName(options),
    operation: "gemm",
    symbols: ["remoe_gemm"],
    flops: 2 * m * n * inner,
    bytes: (isBf16 ? 2 : 4) * (m * inner + inner * n) + (storage === "bf16" ? 2 : 4) * m * n,
    mayBeUnsupported: isBf16,
    inputs: (random) => {
      const draw = (rows: number, stride: number) => {
        const values = random.normal(rows * stride, { bf16: storage !== "f32" });
        return isBf16 ? toBfloat16(values) : values;
      };
      const c = random.normal(m * ldc, { bf16: storage === "bf16" });
      return {
        a: draw(rowsA, lda),
        b: draw(rowsB, ldb),
        ...(isInPlace ? { c: storage === "bf16" ? toBfloat16(c) : c } : {}),
      };
    },
    outputs: { c: output([m, ldc], tolerance, dtypeC) },
    call(k, at) {
      const status = k.symbols.remoe_gemm(
        k.handle,
        DTypeCode[dtype],
        DTypeCode[dtype],
        DTypeCode[dtypeC],
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
  gemmCase({ m: 33, n: 40, k: 50, storage: "bf16" }),
  gemmCase({ m: 16, n: 16, k: 16, alpha: 0, beta: 0.5 }),
];
