/** Runs cases one after the other under `deno bench`, keeping its own samples. @module */

import { type DevicePeak, measurePeak, type ProbeOptions } from "../../lib/ffi/mod.ts";
import { memoryOf } from "../../lib/autograd/device.ts";
import type { Device } from "../../mod.ts";
import type { BenchCase, PreparedCase, Work } from "./case.ts";
import { type CaseResult, caseResult, type Times } from "./results.ts";
import { type PeakOf, peakOf, Watch } from "./watch.ts";

/** Rates per second of a mediocre machine, to guess how long a case takes. */
const GUESS = { flops: 4e10, bytes: 4e9 } as const;

/** Seconds that a case's samples should add up to. */
const CASE_SECONDS = 0.6;

/** With `warmup: 1`, `deno bench` calls a case this many times on top of `n`. */
const FURTHER_CALLS = 2;

/**
 * Decides how often to time a case: more often if it is quick, and at least three times, counting
 * the calls that `deno bench` adds.
 *
 * @param work The work of a call.
 * @returns The `n` of `deno bench`.
 */
export function iterations({ flops, bytes }: Work): number {
  const seconds = Math.max(flops / GUESS.flops + bytes / GUESS.bytes, 1e-6);
  return Math.min(20, Math.max(1, Math.round(CASE_SECONDS / seconds) - FURTHER_CALLS));
}

/** How the machine's peaks are measured. */
export interface SessionOptions extends ProbeOptions {
  /** Measures the peak before and after each case; default a short probe of the device. */
  readonly peakOf?: PeakOf;
}

/** The case that has buffers. */
interface Current {
  readonly benchCase: BenchCase;
  readonly prepared: PreparedCase;
  readonly watch: Watch;
}

/**
 * Cases on a device. Only one at a time has buffers, so memory need only hold the largest. A case
 * during which the machine's peak changed is sampled again before its buffers are freed.
 */
export class Session implements Disposable {
  readonly #device: Device;
  readonly #probe: ProbeOptions;
  readonly #peakOf: PeakOf;
  readonly #times = new Map<BenchCase, Times>();
  readonly #firstPeak: DevicePeak;
  /** The machine's load before anything ran. */
  readonly load: number;
  #current: Current | null = null;

  /**
   * Measures the machine's peaks for the first time.
   *
   * @param device The device that the cases run on.
   * @param options How long to measure the peaks.
   */
  constructor(device: Device, options: SessionOptions = {}) {
    const { peakOf: given, ...probe } = options;
    this.#device = device;
    this.#probe = probe;
    this.#peakOf = given ?? peakOf(device);
    this.load = Deno.loadavg()[0]!;
    this.#firstPeak = measurePeak(memoryOf(device).kernels, probe);
    device.trim();
  }

  /**
   * Adds a case; results come in the same order.
   *
   * @param benchCase The case.
   */
  add(benchCase: BenchCase): void {
    this.#times.set(benchCase, { seconds: [], disturbed: false });
  }

  /**
   * Adds a case and registers it with `deno bench`.
   *
   * @param benchCase The case.
   */
  register(benchCase: BenchCase): void {
    const { name } = benchCase;
    this.add(benchCase);
    // No group: `deno bench` would report how much faster one shape is than another.
    Deno.bench({ name, n: iterations(benchCase), warmup: 1 }, (b) => {
      this.sample(benchCase, () => b.start(), () => b.end());
    });
  }

  /**
   * Takes one sample of a case that was added. A case's first sample frees the previous case's buffers, makes its own and
   * runs an untimed call, so that no sample pays for touching memory for the first time.
   *
   * @param benchCase The case.
   * @param start Called before the timed call.
   * @param end Called after it.
   */
  sample(benchCase: BenchCase, start: () => void = () => {}, end: () => void = () => {}): void {
    const prepared = this.#prepared(benchCase);
    start();
    const seconds = this.#time(prepared);
    end();
    this.#times.get(benchCase)!.seconds.push(seconds);
  }

  #time(prepared: PreparedCase): number {
    const started = performance.now();
    prepared.run();
    this.#device.synchronize();
    return (performance.now() - started) / 1e3;
  }

  #prepared(benchCase: BenchCase): PreparedCase {
    if (this.#current?.benchCase === benchCase) return this.#current.prepared;
    this.#finish();
    const prepared = benchCase.prepare(this.#device);
    const watch = new Watch(() => this.#peakOf(benchCase.dtype ?? "f32"));
    this.#current = { benchCase, prepared, watch };
    this.#time(prepared);
    return prepared;
  }

  /** Takes the current case's samples again if they were disturbed, and frees its buffers. */
  #finish(): void {
    if (this.#current !== null) {
      const { benchCase, prepared, watch } = this.#current;
      const times = this.#times.get(benchCase)!;
      while (watch.repeats()) {
        times.seconds = times.seconds.map(() => this.#time(prepared));
      }
      times.disturbed = watch.disturbed;
    }
    this.#free();
  }

  #free(): void {
    this.#current?.prepared[Symbol.dispose]();
    this.#current = null;
    this.#device.trim();
  }

  /**
   * Measures the peaks again, once every case has run.
   *
   * @returns The higher of the two measurements: what the machine can do undisturbed.
   */
  peak(): DevicePeak {
    this.#finish();
    const last = measurePeak(memoryOf(this.#device).kernels, this.#probe);
    const first = this.#firstPeak;
    return {
      gflops: Math.max(first.gflops, last.gflops),
      gigabytesPerSecond: Math.max(first.gigabytesPerSecond, last.gigabytesPerSecond),
    };
  }

  /** Results of the cases that ran, in the order in which they were added. */
  results(): CaseResult[] {
    this.#finish();
    return [...this.#times].filter(([, { seconds }]) => seconds.length > 0)
      .map(([benchCase, times]) => caseResult(benchCase, times));
  }

  /** Frees the last case's buffers. */
  [Symbol.dispose](): void {
    this.#free();
  }
}
