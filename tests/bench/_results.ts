import type { BenchResults, CaseResult } from "../../bench/harness/results.ts";

/** Results of a machine with 100 GFLOPS and a copy bandwidth of 10 GB/s. */
export function someResults(
  medians: Readonly<Record<string, number>>,
  changes: Partial<BenchResults> = {},
): BenchResults {
  const cases = Object.entries(medians).map(([name, median]): CaseResult => ({
    group: "gemm",
    name,
    flops: 2e9,
    bytes: 1e8,
    samples: 5,
    median_s: median,
    min_s: median / 2,
    max_s: median * 2,
  }));
  return {
    format: 1,
    kind: "kernels",
    date: "2026-11-25T12:00:00.000Z",
    commit: "0123456789abcdef",
    machine: {
      name: "Some(R) CPU @ 3.00GHz",
      backend: "cpu",
      isa: "avx2",
      threads: 2,
      gemm: "oneDNN 2.6.3",
      memory_bytes: 2 ** 34,
      os: "linux x86_64",
      load_average: 0.25,
      peak_gflops: 100,
      copy_gigabytes_per_second: 10,
    },
    versions: { remoe: "0.1.0" },
    cases,
    ...changes,
  };
}
