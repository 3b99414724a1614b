/** Notices that something else slowed the machine down while a figure was measured. @module */

import { memoryOf } from "../../lib/autograd/device.ts";
import { DeviceError } from "../../lib/errors.ts";
import { probeFma } from "../../lib/ffi/mod.ts";
import type { Real } from "../../lib/tensor/dtype.ts";
import type { Device } from "../../mod.ts";

/** Measures the rate of products of a type, undisturbed always the same. */
export type PeakOf = (dtype: Real) => number;

/** By how much the peaks before and after a figure may differ, as a share of the higher one. */
const TOLERANCE = 0.1;

/** How often a figure is measured at most. */
const ATTEMPTS = 3;

/**
 * Seconds of a probe: long enough to be taken off a core if others want it, and short beside the
 * samples of a case.
 */
const PROBE_SECONDS = 0.05;

/**
 * Watches a figure being measured: a figure counts only if the peak before it and the peak after it
 * agree.
 *
 * @example
 * ```ts ignore
 * const watch = new Watch(() => peakOf("bf16"));
 * do seconds = measure(); while (watch.repeats());
 * ```
 */
export class Watch {
  readonly #probe: () => number;
  #before: number;
  #left = ATTEMPTS;
  #disturbed = false;

  /**
   * Measures the peak for the first time.
   *
   * @param probe Measures it.
   */
  constructor(probe: () => number) {
    this.#probe = probe;
    this.#before = probe();
  }

  /** Whether the peaks around the last attempt disagreed. */
  get disturbed(): boolean {
    return this.#disturbed;
  }

  /**
   * Measures the peak after an attempt.
   *
   * @returns Whether the figure has to be measured again: it was disturbed, and there are attempts
   *   left.
   */
  repeats(): boolean {
    const after = this.#probe();
    const higher = Math.max(this.#before, after);
    // Peaks that are not numbers do not agree.
    this.#disturbed = !(Math.abs(after - this.#before) <= TOLERANCE * higher);
    this.#before = after;
    this.#left--;
    return this.#disturbed && this.#left > 0;
  }
}

/**
 * Probes a device's peaks.
 *
 * @param device The device.
 * @returns The probe. Of a type for which the device has no unit it measures fp32, by which such
 *   products are computed.
 */
export function peakOf(device: Device): PeakOf {
  const { kernels } = memoryOf(device);
  const measure = (dtype: Real): number => probeFma(kernels, { dtype, seconds: PROBE_SECONDS });
  let hasBf16 = true;
  return (dtype) => {
    if (dtype === "bf16" && hasBf16) {
      try {
        return measure("bf16");
      } catch (error) {
        if (!(error instanceof DeviceError)) throw error;
        hasBf16 = false;
      }
    }
    return measure("f32");
  };
}
