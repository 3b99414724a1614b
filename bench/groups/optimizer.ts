import { adamwCase } from "../../kernels/cases/adamw.ts";
import { StateSlot, TensorWord } from "../../lib/ffi/mod.ts";
import type { BenchCase } from "../harness/case.ts";
import { host, kernelBench, normal } from "../harness/kernel_case.ts";
import type { Sizes } from "../harness/sizes.ts";

/** Experts per layer. */
const EXPERTS = 8;

/** Layers with more parameters take too long and too much memory for the default selection. */
const MOST_PARAMETERS = 1e8;

/**
 * Gradient norm and AdamW over the experts of one layer, E=8.
 *
 * @param sizes The model.
 * @returns The case.
 */
export function optimizerCases({ model, hidden, ffn }: Sizes): BenchCase[] {
  const elements = EXPERTS * 3 * hidden * ffn;
  return [
    kernelBench({
      group: "optimizer",
      model,
      kernelCase: adamwCase({
        label: `[${EXPERTS},${hidden},${3 * ffn}]`,
        parameters: [{ elements, decays: true }],
        steps: 1,
        clip: 1,
      }),
      operands: () => ({
        master: normal(elements),
        moment1: normal(elements, 0),
        moment2: normal(elements, 0),
        gradient: normal(elements),
        tables: host(new Uint8Array(8 * TensorWord.words)),
        state: host(new Float64Array(StateSlot.header)),
      }),
      full: elements > MOST_PARAMETERS,
    }),
  ];
}
