/** Runs cases one after the other under `deno bench`, keeping its own samples. @module */

import { type DevicePeak, measurePeak, type ProbeOptions } from "../../lib/ffi/mod.ts";
import { memoryOf } from "../../lib/autograd/device.ts";
import type { Device } from "../../mod.ts";
import type { BenchCase, PreparedCase, Work } from "./case.ts";
import { type CaseResult, caseResult } from "./results.ts";

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

/** Cases on a device. Only one at a time has buffers, so memory need only hold the largest. */
export class Session implements Disposable {
  readonly #device: Device;
  readonly #probe: ProbeOptions;
  readonly #samples = new Map<BenchCase, number[]>();
  readonly #firstPeak: DevicePeak;
  /** The machine's load before anything ran. */
  readonly load: number;
  #current: { readonly benchCase: BenchCase; readonly prepared: PreparedCase } | null = null;

  /**
   * Measures the machine's peaks for the first time.
   *
   * @param device The device that the cases run on.
   * @param probe How long to measure the peaks.
   */
  constructor(device: Device, probe: ProbeOptions = {}) {
    this.#device = device;
    this.#probe = probe;
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
    this.#samples.set(benchCase, []);
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
   * Takes one sample. A case's first sample frees the previous case's buffers, makes its own and
   * runs an untimed call, so that no sample pays for touching memory for the first time.
   *
   * @param benchCase The case.
   * @param start Called before the timed call.
   * @param end Called after it.
   */
  sample(benchCase: BenchCase, start: () => void = () => {}, end: () => void = () => {}): void {
    const prepared = this.#prepared(benchCase);
    start();
    const started = performance.now();
    prepared.run();
    this.#device.synchronize();
    const seconds = (performance.now() - started) / 1e3;
    end();
    this.#samples.get(benchCase)?.push(seconds);
  }

  #prepared(benchCase: BenchCase): PreparedCase {
    if (this.#current?.benchCase === benchCase) return this.#current.prepared;
    this.#free();
    const prepared = benchCase.prepare(this.#device);
    this.#current = { benchCase, prepared };
    prepared.run();
    this.#device.synchronize();
    return prepared;
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
    this.#free();
    const last = measurePeak(memoryOf(this.#device).kernels, this.#probe);
    const first = this.#firstPeak;
    return {
      gflops: Math.max(first.gflops, last.gflops),
      gigabytesPerSecond: Math.max(first.gigabytesPerSecond, last.gigabytesPerSecond),
    };
  }

  /** Results of the cases that ran, in the order in which they were added. */
  results(): CaseResult[] {
    return [...this.#samples].filter(([, seconds]) => seconds.length > 0)
      .map(([benchCase, seconds]) => caseResult(benchCase, seconds));
  }

  /** Frees the last case's buffers. */
  [Symbol.dispose](): void {
    this.#free();
  }
}
