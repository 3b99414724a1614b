import { assert, assertEquals } from "@std/assert";
import { inputsOf, type KernelCase } from "../../kernels/cases/case.ts";
import {
  expertsCase,
  expertsGradientCase,
  type ExpertsOptions,
} from "../../kernels/cases/experts.ts";
import { gemmCase } from "../../kernels/cases/gemm.ts";
import { runCase } from "../../kernels/cases/placed_case.ts";
import { DeviceError } from "../../lib/errors.ts";
import type { Mutant } from "../../kernels/tools/build_cuda.ts";
import { missingCompiler, openEmulator, Order } from "./emulator.ts";
import { todaysShare } from "./mutants.ts";

const ignore = missingCompiler !== undefined;

/** More steps of the depth than the ring has stages, and tiles with rows for one consumer alone. */
const LAYER: ExpertsOptions = {
  ...{ tokens: 150, hidden: 328, width: 136, experts: 2, density: 0.7 },
  ...{ kept: 50, dtype: "bf16" },
};
const CASES: readonly KernelCase[] = [
  expertsCase(LAYER),
  expertsGradientCase(LAYER, 1),
  gemmCase({ m: 136, n: 520, k: 328, storage: "bf16" }),
];

/** What orders the ring of grouped products: none of it is superfluous. */
const WAITS: readonly (readonly [file: string, text: string])[] = [
  ["grouped_product.h", "  __syncthreads();"],
  ["grouped_consumer.h", "    __syncwarp();  // all lanes are through with it"],
  ["grouped_consumer.h", "        __syncwarp();\n        epilogue.send"],
  ["grouped_consumer.h", "if (P::kGatherA || P::kGatherB) proxy_fence();"],
  ["grouped_consumer.h", "        proxy_fence();\n        __syncwarp"],
  ["grouped_consumer.h", "        wgmma_wait<1>();"],
  ["grouped_consumer.h", "if (lane == 0) wait_stores_read<kPending>();"],
  ["grouped_consumer.h", "wait(&s.full[at.slot], at.phase);\n      if (P::kGatherA"],
  ["grouped_consumer.h", "wait(&s.full[at.slot], at.phase);\n        epilogue.put"],
  [
    "grouped_producer.h",
    "wait(&s.empty[at.slot], at.phase ^ 1);\n      if (thread == 0) {\n        if (r",
  ],
  [
    "grouped_producer.h",
    "wait(&s.empty[at.slot], at.phase ^ 1);\n      if (thread == 0) {\n        arr",
  ],
];

async function without([file, text]: readonly [string, string], n: number): Promise<Mutant> {
  const path = `gemm/${file}`;
  const source = await Deno.readTextFile(new URL(`../../kernels/cuda/${path}`, import.meta.url));
  // The first statement goes; what follows only tells it from others like it.
  const first = text.indexOf(";") + 1;
  const mutant = source.replace(text, `;${text.slice(first)}`);
  assertEquals(mutant === source, false, text);
  return { name: `tensor_cores_${n}`, files: { [path]: mutant } };
}

for (const [n, wait] of todaysShare([...WAITS.entries()])) {
  Deno.test(`the race checker reports \`${wait[1].trim().split("\n")[0]}\` missing, ${n}`, {
    ignore,
  }, async () => {
    using emulator = await openEmulator({
      race: true,
      mutant: await without(wait, n),
      capability: 90,
    });
    for (const order of [Order.forward, Order.priority]) {
      emulator.configure({ order, seed: 3 });
      try {
        for (const each of CASES) {
          if (emulator.reports().length === 0) runCase(emulator.context, each, inputsOf(each));
        }
      } catch (error) {
        // The launch may have ended, but what ended it is a report too.
        if (!(error instanceof DeviceError)) throw error;
      }
    }
    assert(emulator.reports().length > 0);
  });
}
