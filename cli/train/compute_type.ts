/**
 * What `train` says about the type that a run computes in.
 *
 * @module
 */

import type { DeviceInfo } from "../../lib/autograd/device_options.ts";
import { chooseComputeType } from "../../lib/config/compute_type.ts";
import type { TrainConfig } from "../../lib/config/config.ts";

/**
 * Describes the type that a run computes in.
 *
 * @param config Its configuration, as given.
 * @param device The device; null: not known.
 * @returns A line.
 */
export function computeTypeLine(
  { model }: Pick<TrainConfig, "model">,
  device: Pick<DeviceInfo, "bf16"> | null,
): string {
  if (device === null) {
    return model.dtype === "auto"
      ? "Type        auto: bf16 where the device computes its products and the model is large " +
        "enough, otherwise f32"
      : `Type        ${model.dtype}`;
  }
  const { dtype, reason } = chooseComputeType(model, device);
  if (reason !== null) return `Type        ${dtype} (auto: ${reason})`;
  const isSlow = dtype === "bf16" && device.bf16 === "fp32";
  return `Type        ${dtype}${isSlow ? ": slowly, the device has no unit for its products" : ""}`;
}
