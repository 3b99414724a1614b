import { assertEquals } from "@std/assert";
import { assertMatchesReference } from "../../kernels/cases/check.ts";
import {
  expertsCase,
  expertsGradientCase,
  type ExpertsOptions,
} from "../../kernels/cases/experts.ts";
import { gemmCase } from "../../kernels/cases/gemm.ts";
import { runCase } from "../../kernels/cases/placed_case.ts";
import { inputsOf, type KernelCase } from "../../kernels/cases/case.ts";
import { DeviceError } from "../../lib/errors.ts";
import type { KernelContext } from "../../lib/ffi/mod.ts";
import type { Mutant } from "../../kernels/tools/build_cuda.ts";
import { missingCompiler, openEmulator, Order, skipped } from "./emulator.ts";

const ignore = missingCompiler !== undefined;

const LAYER: ExpertsOptions = {
  ...{ tokens: 140, hidden: 72, width: 136, experts: 3, density: 0.7 },
  ...{ kept: 50, dtype: "bf16" },
};
const PRODUCT = { m: 136, n: 72, k: 1100, storage: "bf16 to f32" } as const;

/** Every product that the tensor cores have, with tiles and steps that end early. */
const CASES: readonly KernelCase[] = [
  expertsCase(LAYER),
  expertsGradientCase(LAYER, 1),
  gemmCase({ ...PRODUCT, storage: "bf16" }),
  gemmCase({ ...PRODUCT, transposeB: true, beta: 1 }),
  gemmCase({ ...PRODUCT, transposeA: true, beta: 1 }),
  gemmCase({ ...PRODUCT, transposeA: true, alpha: 0.5, beta: 0.5, storage: "bf16" }),
];

/** All outputs of a case, as they are stored. */
function run(k: KernelContext, kernelCase: KernelCase): Record<string, ArrayBufferView> {
  return runCase(k, kernelCase, inputsOf(kernelCase));
}

function withVariable(value: string, body: () => Promise<void>): Promise<void> {
  Deno.env.set("REMOE_CUDA_GEMM", value);
  return body().finally(() => Deno.env.delete("REMOE_CUDA_GEMM"));
}

Deno.test(`products on tensor cores give the same bits in every order${skipped}`, {
  ignore,
}, async (t) => {
  using emulator = await openEmulator({ capability: 90 });
  for (const it of CASES) {
    await t.step(it.name, () => {
      emulator.configure({});
      const expected = run(emulator.context, it);
      for (const order of [Order.reverse, Order.random, Order.priority]) {
        emulator.configure({ order, seed: 5 });
        assertEquals(run(emulator.context, it), expected, `order ${order}`);
      }
      assertEquals(emulator.reports(), []);
    });
  }
});

Deno.test(`the race checker finds no faults in products on tensor cores${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator({ race: true, capability: 90 });
  for (const it of CASES) run(emulator.context, it);
  assertEquals(await emulator.locatedReports(), []);
});

Deno.test(`the context says which path multiplies bf16, which a variable forces${skipped}`, {
  ignore,
}, async (t) => {
  for (
    const [capability, variable, gemm, bf16] of [
      [80, "", "mma", "mma"],
      [90, "", "wgmma", "wgmma"],
      [90, "mma", "mma", "mma"],
      [90, "wgmma", "wgmma", "wgmma"],
    ] as const
  ) {
    await t.step(`${capability} ${variable}`, () =>
      withVariable(variable, async () => {
        using emulator = await openEmulator({ capability });
        const info = emulator.context.info();
        assertEquals([info.gemm, info.bf16], [gemm, bf16]);
      }));
  }
  for (const variable of ["wgmma", "fast"]) {
    await t.step(`80 ${variable} fails`, () =>
      withVariable(variable, async () => {
        let message = "";
        try {
          using _ = await openEmulator({});
        } catch (error) {
          if (!(error instanceof DeviceError)) throw error;
          message = error.message;
        }
        assertEquals(message.includes(`REMOE_CUDA_GEMM is`), true, message);
      }));
  }
});

/** Tensor cores that read the first sixteen of each step's depth four times. */
async function wrong(): Promise<Mutant> {
  const file = "gemm/grouped_consumer.h";
  const text = await Deno.readTextFile(
    new URL(`../../kernels/cuda/${file}`, import.meta.url),
  );
  const broken = text.replace(
    "descriptor(&a->element[k], 16, kGroup)",
    "descriptor(a, 16, kGroup)",
  );
  assertEquals(broken === text, false);
  return { name: "wrong_tensor_cores", files: { [file]: broken } };
}

Deno.test(`a context leaves tensor cores that give wrong products${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator({ capability: 90, mutant: await wrong() });
  const k = emulator.context;
  assertEquals(k.info().gemm, "wgmma");
  for (const it of CASES) {
    if ("reference" in it) {
      assertMatchesReference(k, it as Parameters<typeof assertMatchesReference>[1]);
    }
  }
  assertEquals(k.info().gemm, "mma (wgmma disagrees with it on this device)");
});
