/** Which type a run computes in, and that it stays with it. */
import { assertEquals, assertNotEquals } from "@std/assert";
import { computeTypeLine } from "../../cli/train/compute_type.ts";
import { configHash } from "../../lib/checkpoint/resume.ts";
import {
  chooseComputeType,
  typeToExpect,
  withComputeType,
  withTypeOf,
} from "../../lib/config/compute_type.ts";
import type { DTypeName, TrainConfig } from "../../lib/config/config.ts";
import { withEarlierDefaults } from "../../lib/config/earlier_defaults.ts";
import { parseConfig } from "../../lib/train/mod.ts";
import { openDevice } from "../tensor/open_device.ts";

const UNIT = { bf16: "amx" };
const NONE = { bf16: "fp32" };

function config(dtype: DTypeName, hidden = 512): TrainConfig {
  return parseConfig({ preset: "pico", model: { dtype, hidden } });
}

Deno.test("`auto` takes bf16 for a large model on a device with a unit for it", () => {
  const chosen = (hidden: number, device: { bf16: string }) =>
    chooseComputeType(config("auto", hidden).model, device).dtype;
  assertEquals(chosen(512, UNIT), "bf16");
  assertEquals(chosen(448, UNIT), "f32");
  assertEquals(chosen(512, NONE), "f32");
});

Deno.test("a named type is taken on any device", () => {
  for (const dtype of ["f32", "bf16"] as const) {
    for (const device of [UNIT, NONE]) {
      assertEquals(chooseComputeType(config(dtype).model, device), { dtype, reason: null });
    }
  }
});

Deno.test("a run keeps its type on a machine where `auto` would choose another", () => {
  const begun = withComputeType(config("auto"), UNIT);
  assertEquals(begun.model.dtype, "bf16");
  assertEquals(withTypeOf(begun, config("auto")).model.dtype, "bf16");
  assertEquals(withTypeOf(begun, config("f32")).model.dtype, "f32");
  assertEquals(withComputeType(begun, NONE), begun);
});

Deno.test("a configuration from before there were types means f32", () => {
  const { model: { dtype: _, ...model }, ...rest } = config("f32");
  const completed = { ...rest, model: { ...model, dtype: "f32" } };
  assertEquals(withEarlierDefaults({ ...rest, model }), completed);
  assertEquals(withEarlierDefaults(config("bf16")), config("bf16"));
});

Deno.test("only bf16 is hashed, so that checkpoints from before there were types keep theirs", () => {
  assertEquals(configHash(config("f32")), configHash(config("auto")));
  assertNotEquals(configHash(config("bf16")), configHash(config("f32")));
});

Deno.test("without a device, `auto` counts as fp32", async () => {
  assertEquals(typeToExpect(config("auto"), null), "f32");
  assertEquals(typeToExpect(config("bf16"), null), "bf16");
  using device = await openDevice();
  const { dtype } = chooseComputeType(config("auto").model, device.info());
  assertEquals(typeToExpect(config("auto"), device), dtype);
});

Deno.test("`train` says which type it computes in, and why", () => {
  const line = (dtype: DTypeName, device: { bf16: string } | null, hidden?: number) =>
    computeTypeLine(config(dtype, hidden), device).replace(/^Type +/, "");
  assertEquals(line("auto", UNIT), "bf16 (auto: amx computes its products)");
  assertEquals(line("auto", NONE), "f32 (auto: the device has no unit for bf16 products)");
  assertEquals(
    line("auto", UNIT, 64),
    "f32 (auto: bf16 only from a hidden size of 512 on, this is 64)",
  );
  assertEquals(line("bf16", UNIT), "bf16");
  assertEquals(line("f32", NONE), "f32");
  assertEquals(line("bf16", NONE), "bf16: slowly, the device has no unit for its products");
  assertEquals(line("f32", null), "f32");
});
