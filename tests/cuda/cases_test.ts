import { assertEquals } from "@std/assert";
import {
  assertMatchesDifferences,
  assertMatchesReference,
  assertRepeats,
  isBeyond,
} from "../../kernels/cases/check.ts";
import { GRADIENT_CASES, OPERATION_CASES } from "../../kernels/cases/mod.ts";
import { missingCompiler, openEmulator, skipped } from "./emulator.ts";

Deno.test(`the emulated library runs the cases of the functions it has${skipped}`, {
  ignore: missingCompiler !== undefined,
}, async (t) => {
  using emulator = await openEmulator();
  const k = emulator.context;
  const operations = OPERATION_CASES.filter((it) => !isBeyond(k, it));
  const gradients = GRADIENT_CASES.filter((it) => !isBeyond(k, it));
  const names = new Set([...operations, ...gradients].map(({ operation }) => operation));
  for (
    const name of ["relu_router_forward", "relu_router_gradient", "routing_mask", "dispatch_plan"]
  ) {
    assertEquals(names.has(name), true, name);
  }
  for (const it of operations) {
    await t.step(it.name, () => {
      assertMatchesReference(k, it);
      assertRepeats(k, it);
    });
  }
  for (const it of gradients) {
    await t.step(it.name, () => {
      assertMatchesDifferences(k, it);
      assertRepeats(k, it);
    });
  }
  assertEquals(emulator.reports(), []);
});
