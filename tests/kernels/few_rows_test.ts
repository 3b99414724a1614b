import { assertEquals } from "@std/assert";
import { Random } from "../../kernels/cases/random.ts";
import { DTypeCode, type KernelContext } from "../../lib/ffi/mod.ts";
import { firstDifference, roundedBits } from "./bf16_bits.ts";
import { BEST, openWith, run } from "./run_in_bf16.ts";

/** Most rows of a product that takes the path for few of them, and rows that do not. */
const FEW = 4, MANY = 9;

interface Product {
  readonly n: number;
  readonly k: number;
  readonly transposeA?: boolean;
  readonly beta?: number;
  /** The type of C. */
  readonly result: "f32" | "bf16";
}

// Odd sizes, vectors that are not full, several chunks of columns, several blocks of depth.
const PRODUCTS: readonly Product[] = [
  { n: 1030, k: 27, result: "bf16" },
  { n: 70, k: 1203, result: "f32" },
  { n: 35, k: 1026, result: "f32", transposeA: true, beta: 1 },
  { n: 5, k: 1, result: "bf16", beta: 1 },
];

function normalBits(name: string, length: number): Uint16Array<ArrayBuffer> {
  return roundedBits(new Uint32Array(new Random(name).normal(length).buffer));
}

/** The first `rows` rows of the product, which has m. */
function firstRows(kernels: KernelContext, product: Product, m: number, rows: number) {
  const { n, k, transposeA = false, beta = 0, result } = product;
  const c = result === "f32"
    ? new Uint32Array(new Random("c").normal(m * n).buffer)
    : normalBits("c", m * n);
  const args = (dtype: number) => [
    ...[dtype, dtype, DTypeCode[result], Number(transposeA), 0, m, n, k, 1],
    ...["a", transposeA ? MANY : k, "b", n, beta, "c", n],
  ];
  const buffers = { a: normalBits("a", MANY * k), b: normalBits("b", k * n), c };
  const bytes = run(kernels, { symbol: "remoe_gemm", args }, DTypeCode.bf16, buffers);
  return bytes["c"]!.subarray(0, rows * n * c.BYTES_PER_ELEMENT);
}

for (const isa of [BEST, "avx512", "avx2", "baseline"]) {
  Deno.test(`products of few rows have the bits of larger ones in ${isa}`, async (t) => {
    using kernels = openWith(isa, 2);
    for (const product of PRODUCTS) {
      await t.step(JSON.stringify(product), () => {
        for (let m = 1; m <= FEW; m++) {
          const difference = firstDifference(
            firstRows(kernels, product, m, m),
            firstRows(kernels, product, MANY, m),
          );
          assertEquals(difference, undefined, `${m} rows`);
        }
      });
    }
  });
}
