import { assertEquals } from "@std/assert";
import {
  assertMatchesDifferences,
  assertMatchesReference,
  assertRepeats,
  isBeyond,
} from "../../kernels/cases/check.ts";
import { GRADIENT_CASES, OPERATION_CASES } from "../../kernels/cases/mod.ts";
import { missingCompiler, openEmulator, skipped } from "./emulator.ts";

for (const capability of [80, 90] as const) {
  const device = `the emulated library, posing as compute capability ${capability / 10}`;
  Deno.test(`${device}, runs the cases of the functions it has${skipped}`, {
    ignore: missingCompiler !== undefined,
  }, async (t) => {
    using emulator = await openEmulator({ capability });
    const k = emulator.context;
    for (const it of OPERATION_CASES.filter((it) => !isBeyond(k, it))) {
      await t.step(it.name, () => {
        assertMatchesReference(k, it);
        assertRepeats(k, it);
      });
    }
    for (const it of GRADIENT_CASES.filter((it) => !isBeyond(k, it))) {
      await t.step(it.name, () => {
        assertMatchesDifferences(k, it);
        assertRepeats(k, it);
      });
    }
    assertEquals(emulator.reports(), []);
  });
}
