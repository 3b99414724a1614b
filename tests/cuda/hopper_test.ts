import { assert, assertEquals, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import { missingCompiler, openEmulator, Order, skipped } from "./emulator.ts";
import { hopperLibrary, runHopperProbe, SIDE } from "./hopper_probe.ts";
import { FAULTS, RACES, SOUND } from "./hopper_programs.ts";

const ignore = missingCompiler !== undefined;

const LIBRARY = hopperLibrary([...SOUND, ...FAULTS, ...RACES].map(({ body }) => body));

Deno.test(`the emulator runs Hopper's instructions in every order${skipped}`, {
  ignore,
}, async (t) => {
  for (const race of [false, true]) {
    using emulator = await openEmulator({ race, mutant: LIBRARY, capability: 90 });
    for (const [n, { does, expected }] of SOUND.entries()) {
      await t.step(`${race ? "checked: " : ""}${does}`, async () => {
        for (const order of Object.values(Order)) {
          emulator.configure({ order, seed: 2 });
          const out = runHopperProbe(emulator.context, n);
          assertEquals(await emulator.locatedReports(), [], `order ${order}`);
          out.forEach((value, j) =>
            assertEquals(
              value,
              expected(Math.floor(j / SIDE), j % SIDE),
              `order ${order}, element ${j}`,
            )
          );
        }
      });
    }
  }
});

Deno.test(
  `the race checker reports unsound use of Hopper's instructions, in every order${skipped}`,
  {
    ignore,
  },
  async (t) => {
    using emulator = await openEmulator({ race: true, mutant: LIBRARY, capability: 90 });
    for (const [n, { does, report }] of RACES.entries()) {
      await t.step(does, async () => {
        for (const order of Object.values(Order)) {
          emulator.configure({ order, seed: 2 });
          emulator.clearReports();
          runHopperProbe(emulator.context, SOUND.length + FAULTS.length + n);
          const reports = await emulator.locatedReports();
          assert(reports.some((line) => line.includes(report)), `${order}: ${reports.join("\n")}`);
        }
      });
    }
  },
);

Deno.test(`the emulator ends a launch that misuses Hopper's instructions${skipped}`, {
  ignore,
}, async (t) => {
  for (const [n, { does, text }] of FAULTS.entries()) {
    await t.step(does, async () => {
      using emulator = await openEmulator({ mutant: LIBRARY, capability: 90 });
      const run = (): unknown => runHopperProbe(emulator.context, SOUND.length + n);
      const error = assertThrows(run, DeviceError);
      const expected = text.replace(/probe_(\d+)/, (_, m) => `probe_${SOUND.length + Number(m)}`);
      assert(error.message.includes(expected), error.message);
    });
  }
});

Deno.test(`a device of compute capability 8.0 lacks Hopper's instructions${skipped}`, {
  ignore,
}, async () => {
  using emulator = await openEmulator({ mutant: LIBRARY });
  const error = assertThrows(() => runHopperProbe(emulator.context, 0), DeviceError);
  assert(error.message.includes("an instruction of compute capability 9.0"), error.message);
});
