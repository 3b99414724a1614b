/**
 * What the machine code of every product, expert and attention kernel has to consist of.
 *
 * @module
 */

import type { Counts, MachineCode } from "./listing.ts";

/** Expectations of the kernels of a kind. */
export interface Facts {
  /** The kind, for people. */
  readonly kind: string;
  /** Their demangled names, without namespaces that are everywhere. */
  readonly kernels: RegExp;
  /** The targets that they are compiled for. */
  readonly targets: readonly string[];
  /** The least numbers in the main loop. */
  readonly loop?: Counts;
  /** What the main loop is without. */
  readonly loopWithout?: readonly string[];
  /** The least numbers in the whole kernel. */
  readonly has?: Counts;
  /** What the whole kernel is without. */
  readonly without?: readonly string[];
  /** Why its threads may use local memory; without a reason they may not. */
  readonly local?: string;
}

/** The sources whose kernels each need facts, below `kernels/cuda`. */
export const SOURCES =
  /^(gemm\/|attention\/|moe\/expert(s_|_tiles)|moe\/(relu_router|router_logits)\.cu|model\/cross_entropy_tensor)/;

const BOTH = ["sm_80", "sm_90a"];
const HOPPER = ["sm_90a"];

const MEMORY = ["LDG", "STG", "LDL", "STL", "LD", "ST", "LDGSTS"];
const TENSOR_CORES = ["HMMA", "HGMMA"];

/** In these, warps read the next tile between their products. */
const IN_TURN = "_product|pre_activations|activation_gradients|weight_gradients";

const SINE = "the fp64 sine reduces angles beyond 2³¹, which no position reaches, in an array";

/** The facts; a kernel has those of the first kind it belongs to. */
export const FACTS: readonly Facts[] = [
  {
    kind: "products and experts, wgmma, rows gathered",
    kernels: /^grouped_product_kernel<Product<(true|false, true),/,
    targets: HOPPER,
    loop: { HGMMA: 4 },
    loopWithout: [...MEMORY, "STS"],
    has: { UTMALDG: 2, "LDGSTS.128": 8 },
    without: ["HMMA", "LDG.128", "LDG.64", "LDG.16"],
  },
  {
    kind: "products and experts, wgmma",
    kernels: /^grouped_product_kernel<Product<false, false,/,
    targets: HOPPER,
    loop: { HGMMA: 4 },
    loopWithout: [...MEMORY, "STS", "LDS"],
    has: { UTMALDG: 6 },
    without: ["HMMA", "LDG.128", "LDG.64", "LDG.16"],
  },
  {
    kind: "attention, forward, wgmma",
    kernels: /^flash_forward_kernel</,
    targets: HOPPER,
    loop: { HGMMA: 10 },
    loopWithout: [...MEMORY, "STS", "LDS"],
    has: { UTMALDG: 10, "STG.128": 2 },
    without: ["HMMA", "LDG"],
  },
  {
    kind: "attention, gradient, wgmma",
    kernels: /^flash_gradient_kernel</,
    targets: HOPPER,
    loop: { HGMMA: 8 },
    loopWithout: [...MEMORY, "STS", "LDS.32"],
    has: { UTMALDG: 6 },
    without: ["HMMA"],
  },
  {
    kind: "products and experts, mma",
    kernels: new RegExp(`(${IN_TURN})_kernel<MmaLoop`),
    targets: BOTH,
    loop: { HMMA: 32, LDSM: 12, "LDG.128": 4 },
    loopWithout: ["LDS", "STG", "LDL", "STL"],
    without: ["HGMMA"],
  },
  {
    kind: "products of routers, mma",
    kernels: /^(relu_router|router_logits)_kernel</,
    targets: BOTH,
    loop: { HMMA: 24, "LDG.128": 8 },
    loopWithout: ["STG", "LDL", "STL"],
    without: ["HGMMA"],
  },
  {
    kind: "products and experts, FMA cores, fp32",
    kernels: new RegExp(`(${IN_TURN})_kernel<SimtLoop<.*> >(, (false|true))?, float(, float|$|>)`),
    targets: BOTH,
    loop: { FFMA: 128, "LDG.128": 2, "LDS.128": 16 },
    loopWithout: ["STG", "LDL", "STL"],
    without: TENSOR_CORES,
  },
  {
    kind: "products and experts, FMA cores, bf16 or mixed",
    kernels: new RegExp(`(${IN_TURN})_kernel<SimtLoop<`),
    targets: BOTH,
    loop: { FFMA: 128, "LDG.64": 1, "LDS.128": 16 },
    loopWithout: ["STG", "LDL", "STL"],
    without: TENSOR_CORES,
  },
  {
    kind: "products and experts of few rows, fp32",
    kernels: /^(few_rows|up|down)_kernel<.*float>/,
    targets: BOTH,
    loop: { FFMA: 32, "LDG.128": 8 },
    loopWithout: ["STG", "LDL", "STL"],
    without: TENSOR_CORES,
  },
  {
    kind: "products and experts of few rows, bf16",
    kernels: /^(few_rows|up|down)_kernel<.*Bf16>/,
    targets: BOTH,
    loop: { FFMA: 32, "LDG.64": 8 },
    loopWithout: ["STG", "LDL", "STL"],
    without: TENSOR_CORES,
  },
  {
    kind: "products of little depth or few columns",
    kernels: /^(shallow|narrow)_kernel</,
    targets: BOTH,
    loop: { FFMA: 64 },
    loopWithout: ["LDL", "STL"],
    without: TENSOR_CORES,
  },
  {
    kind: "attention, FMA cores, fp32",
    kernels: /^(attention|query_gradient|key_gradient)_kernel<.*float>/,
    targets: BOTH,
    loop: { FFMA: 64, "LDS.128": 8 },
    loopWithout: [...MEMORY, "STS", "LDS.32"],
    has: { "LDG.128": 12, "LDS.128": 22 },
    without: TENSOR_CORES,
  },
  {
    kind: "attention, FMA cores, bf16",
    kernels: /^(attention|query_gradient|key_gradient)_kernel<.*Bf16>/,
    targets: BOTH,
    loop: { FFMA: 64, "LDS.128": 8 },
    loopWithout: [...MEMORY, "STS", "LDS.32"],
    has: { "LDG.64": 12, "LDS.128": 22 },
    without: TENSOR_CORES,
  },
  {
    kind: "attention against a cache",
    kernels: /^run_kernel</,
    targets: BOTH,
    loop: { FFMA: 64 },
    loopWithout: ["LDL", "STL"],
    has: { "LDG.128": 15 },
    without: TENSOR_CORES,
  },
  {
    kind: "attention, appending to the cache; angles",
    kernels: /^(append_kernel<|angles_kernel)/,
    targets: BOTH,
    without: TENSOR_CORES,
    local: SINE,
  },
  {
    kind: "beside products: sums of parts, lists, places, rotation",
    kernels:
      /^(join_parts|join|join_tiles|place|list_tiles|gate_gradients?|rotate|projection|flash_statistics)_kernel/,
    targets: BOTH,
    without: TENSOR_CORES,
  },
];

/**
 * Says which facts a kernel violates.
 *
 * @param facts Those of its kind.
 * @param kernel Its machine code.
 * @param stack Bytes of local memory per thread.
 * @returns One clause for each; empty if it has all.
 */
export function violations(facts: Facts, kernel: MachineCode, stack: number): string[] {
  const { loop, all } = kernel;
  const local = ["LDL", "STL"].reduce((sum, operation) => sum + total(all, operation), 0);
  return [
    ...facts.targets.includes(kernel.target) ? [] : [`is compiled for ${kernel.target}`],
    ...facts.loop !== undefined && loop === null ? ["has no main loop"] : [],
    ...tooFew(facts.loop ?? {}, loop ?? {}, "its main loop has"),
    ...surplus(facts.loopWithout ?? [], loop ?? {}, "its main loop has"),
    ...tooFew(facts.has ?? {}, all, "it has"),
    ...surplus(facts.without ?? [], all, "it has"),
    ...facts.local === undefined && (local > 0 || stack > 0)
      ? [`uses local memory: ${stack} bytes per thread, ${local} accesses`]
      : [],
  ];
}

/**
 * Sums an operation over all widths, or those of one width.
 *
 * @param counts The counts.
 * @param operation For example `LDG` or `LDG.128`.
 * @returns How many there are.
 */
export function total(counts: Counts, operation: string): number {
  return Object.entries(counts)
    .filter(([name]) => name === operation || name.startsWith(`${operation}.`))
    .reduce((sum, [, count]) => sum + count, 0);
}

function tooFew(least: Counts, counts: Counts, subject: string): string[] {
  return Object.entries(least)
    .filter(([operation, count]) => total(counts, operation) < count)
    .map(([operation, count]) =>
      `${subject} ${total(counts, operation)} ${operation}, fewer than ${count}`
    );
}

function surplus(operations: readonly string[], counts: Counts, subject: string): string[] {
  return operations
    .filter((operation) => total(counts, operation) > 0)
    .map((operation) =>
      `${subject} ${total(counts, operation)} ${operation}, of which none belong`
    );
}
