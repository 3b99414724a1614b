/**
 * Which type a run computes in.
 *
 * @module
 */

import { type Device, memoryOf } from "../autograd/device.ts";
import type { DeviceInfo } from "../autograd/device_options.ts";
import type { DTypeName, TrainConfig } from "./config.ts";
import type { Real } from "../tensor/dtype.ts";

/**
 * Hidden size from which on `auto` takes bf16. Smaller models gain as well (nano some 1.5 times),
 * but they are the ones whose figures are compared between machines, and fp32 is the same on all.
 */
const SMALLEST_HIDDEN = 512;

/** A type and what chose it. */
export interface ComputeTypeChoice {
  /** The type. */
  readonly dtype: Real;
  /** Why `auto` chose it; null if the configuration names it. */
  readonly reason: string | null;
}

/**
 * Chooses the type that a configuration's model computes in. `auto` takes bf16 where the device has
 * a unit for its products and the model is large enough to gain.
 *
 * @param model The model's type and size.
 * @param device What the device computes bf16 products with.
 * @returns The type, and why.
 */
export function chooseComputeType(
  { dtype, hidden }: Pick<TrainConfig["model"], "dtype" | "hidden">,
  { bf16 }: Pick<DeviceInfo, "bf16">,
): ComputeTypeChoice {
  if (dtype !== "auto") return { dtype, reason: null };
  if (bf16 === "fp32") return { dtype: "f32", reason: "the device has no unit for bf16 products" };
  if (hidden < SMALLEST_HIDDEN) {
    const reason = `bf16 only from a hidden size of ${SMALLEST_HIDDEN} on, this is ${hidden}`;
    return { dtype: "f32", reason };
  }
  return { dtype: "bf16", reason: `${bf16} computes its products` };
}

/**
 * Names the type in a configuration, so that a run keeps it on whatever machine it resumes.
 *
 * @param config A configuration, whose type may be `auto`.
 * @param device What will compute it.
 * @returns The configuration with a type.
 */
export function withComputeType(
  config: TrainConfig,
  device: Pick<DeviceInfo, "bf16">,
): TrainConfig {
  const { dtype } = chooseComputeType(config.model, device);
  return dtype === config.model.dtype ? config : withType(config, dtype);
}

/** A configuration whose type, if it is `auto`, is that of the run it continues. */
export function withTypeOf(run: TrainConfig, config: TrainConfig): TrainConfig {
  return config.model.dtype === "auto" ? withType(config, run.model.dtype) : config;
}

function withType(config: TrainConfig, dtype: DTypeName): TrainConfig {
  return { ...config, model: { ...config.model, dtype } };
}

/**
 * The type that a run's model will compute in, as far as can be told.
 *
 * @param config Its configuration.
 * @param device The device; null: none is known, and `auto` counts as fp32.
 * @returns The type.
 */
export function typeToExpect({ model }: TrainConfig, device: Device | null): Real {
  if (device !== null) return chooseComputeType(model, device.info()).dtype;
  return model.dtype === "auto" ? "f32" : model.dtype;
}

/** The type of a configuration's model on a device. */
export function computeTypeOn(device: Device, config: TrainConfig): Real {
  memoryOf(device); // throws if it is not a device
  return chooseComputeType(config.model, device.info()).dtype;
}
