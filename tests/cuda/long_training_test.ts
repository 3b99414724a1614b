/**
 * Longer training on the emulated device: every router, to the same bits in every order of threads,
 * blocks and streams, and pico beside the CPU. `deno task test:cuda:full` takes 200 steps, fp32 in
 * every order and bf16 in two others; otherwise there are a few, in one order besides the usual one.
 */

import { assert, assertEquals } from "@std/assert";
import { ROUTER_NAMES } from "../../lib/moe/routers.ts";
import type { ConfigLayer } from "../../lib/train/mod.ts";
import { Device } from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";
import { missingCompiler, openEmulator, Order, type Schedule, skipped } from "./emulator.ts";
import { trained, trainerOn } from "./small_training.ts";

const isFull = Deno.env.get("REMOE_TEST_TRAINING") === "full";
const ignore = missingCompiler !== undefined;

const FULL_STEPS = 200;

/** Blocks and threads by chance, and streams that may overtake each other. */
const DEFERRED: Schedule = { order: Order.random, seed: 7, deferred: true };

/** The orders to compare with the usual one, by type: tensor cores take four times as long. */
const SCHEDULES: Readonly<Record<"f32" | "bf16", readonly Schedule[]>> = isFull
  ? {
    f32: [
      { order: Order.reverse },
      { order: Order.random, seed: 8 },
      { order: Order.priority, seed: 7 },
      DEFERRED,
    ],
    bf16: [{ order: Order.reverse }, DEFERRED],
  }
  : { f32: [DEFERRED], bf16: [DEFERRED] };

/** ReLU's longer, for it moves through its stages. */
function stepsOf(router: string): number {
  if (isFull) return FULL_STEPS;
  return router === "relu" ? 40 : 10;
}

Deno.test(`every router trains to the same bits in other orders${skipped}`, {
  ignore,
}, async (t) => {
  using emulator = await openEmulator();
  for (const router of ROUTER_NAMES) {
    const steps = stepsOf(router);
    await t.step(`${router}, ${steps} steps`, async () => {
      const types = isFull
        ? ["f32", "bf16"] as const
        : [router === "topk" ? "bf16" : "f32"] as const;
      for (const dtype of types) {
        const run = async (schedule: Schedule) => {
          emulator.configure(schedule);
          using device = await Device.open({ library: emulator.path, seed: 3 });
          return await trained(device, { moe: { router }, model: { dtype } }, { steps });
        };
        const usual = await run({});
        for (const { loss } of usual.steps) assert(Number.isFinite(loss));
        for (const schedule of SCHEDULES[dtype]) {
          assertEquals(await run(schedule), usual, `${dtype}, ${JSON.stringify(schedule)}`);
        }
      }
    });
  }
  assertEquals(emulator.reports(), []);
});

/** Pico, as the preset has it but for fewer tokens a step. */
const PICO: ConfigLayer = {
  model: { hidden: 64, heads: 4, groups: 2 },
  data: { batch: 4, micro_batch: 4, sequence: 128 },
  schedule: { warmup: 20 },
};

/** The losses of pico's steps. */
async function losses(device: Device, dtype: "f32" | "bf16", steps: number): Promise<number[]> {
  const { data, model, ...rest } = PICO;
  const layer = { ...rest, data: data!, model: { ...model, dtype } };
  using trainer = await trainerOn(device, layer);
  return Array.from({ length: steps }, () => trainer.step().loss);
}

Deno.test({
  name: `pico's losses in bf16 stay beside the CPU's${skipped}`,
  ignore: ignore || !isFull,
  async fn() {
    using emulator = await openEmulator();
    using device = await Device.open({ library: emulator.path, seed: 4 });
    using cpu = await openDevice({ seed: 4 });
    const emulated = await losses(device, "bf16", FULL_STEPS);
    const bf16 = await losses(cpu, "bf16", FULL_STEPS);
    const fp32 = await losses(cpu, "f32", FULL_STEPS);
    const lines = emulated.flatMap((loss, i) =>
      i % 10 === 0 || i === FULL_STEPS - 1
        ? [
          [i + 1, loss, bf16[i]!, fp32[i]!].map((x, column) =>
            column === 0 ? `${x}`.padStart(4) : x.toFixed(5)
          ).join("  "),
        ]
        : []
    );
    console.log(["step  emulated bf16, CPU bf16, CPU fp32", ...lines].join("\n"));
    // Both round at the same places and differ by the order of their sums, which training amplifies
    // like any rounding: no more than bf16 itself does.
    const distance = (a: readonly number[], b: readonly number[]) =>
      Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0) / a.length);
    const [between, ofType] = [distance(emulated, bf16), distance(bf16, fp32)];
    console.log(`root mean square: ${between} between the devices, ${ofType} between the types`);
    assert(between <= 2 * ofType + 1e-4, `${between} between the devices, ${ofType} of the types`);
    assertEquals(emulator.reports(), []);
  },
});
