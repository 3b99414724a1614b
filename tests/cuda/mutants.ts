/** The kernels with one barrier removed, which the race checker must catch. */

import { fileURLToPath } from "node:url";
import type { Mutant } from "../../kernels/tools/build_cuda.ts";

/** A barrier in a source. */
export interface Barrier {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

const FOLDER = fileURLToPath(new URL("../../kernels/cuda/", import.meta.url));
const BARRIER = /__sync(threads|warp)\(\);/;

/** Days until every mutant has been tried. */
const SHARES = 10;

/** What the cases of the race checker's test run. */
const FILES = [
  ...["attention/attention_extend.cu", "attention/attention_tile.h", "attention/extend_run.h"],
  ...["device/block_reduce.h", "device/block_scan.h", "model/rms_norm_gradient.cu"],
  ...["gemm/few_rows.h", "gemm/mma_product.h", "gemm/narrow.cu"],
  ...["gemm/shallow.cu", "gemm/simt_product.h"],
  ...["moe/expert_products.h", "moe/expert_tiles.cu"],
  ...["model/cross_entropy_forward.cu", "model/sort_tokens.cu", "model/tensor_schedule.h"],
  "model/token_scores.cu",
  "moe/dispatch_plan.cu",
  ...["moe/expert_choice_router.cu", "moe/relu_router.cu", "moe/relu_router_gradient.cu"],
  ...["moe/router_product.h", "moe/router_statistics.cu", "moe/routing_mask.cu"],
  "moe/transport_weights.cu",
  ...["tensor/copy_strided.cu", "tensor/reduce.cu", "tensor/softmax.cu"],
];

/** The barriers of those kernels, ordered by file and line. */
export async function barriers(): Promise<Barrier[]> {
  const found: Barrier[] = [];
  for (const name of FILES) {
    const lines = (await Deno.readTextFile(FOLDER + name)).split("\n");
    lines.forEach((line, i) => {
      const text = line.match(BARRIER)?.[0];
      if (text !== undefined) found.push({ file: name, line: i + 1, text });
    });
  }
  return found.sort((a, b) => a.file.localeCompare(b.file) || a.line - b.line);
}

/**
 * The mutants that a run of the tests tries: each takes seconds to compile, so a tenth of them,
 * another tenth every day, and all with `REMOE_TEST_MUTANTS=all` (`deno task test:cuda:full`).
 *
 * @param all Every mutant.
 * @returns Those of today.
 */
export function todaysShare<T>(all: readonly T[]): T[] {
  if (Deno.env.get("REMOE_TEST_MUTANTS") === "all") return [...all];
  const day = Math.floor(Date.now() / 86_400_000);
  return all.filter((_, i) => i % SHARES === day % SHARES);
}

/** The kernels without one barrier. */
export async function without({ file, line }: Barrier): Promise<Mutant> {
  const lines = (await Deno.readTextFile(FOLDER + file)).split("\n");
  lines[line - 1] = lines[line - 1]!.replace(BARRIER, ";");
  return { name: `${file.replaceAll("/", "_")}_${line}`, files: { [file]: lines.join("\n") } };
}
