/** Runs cases one after the other under `deno bench`, with samples of its own. @module */

import { type DevicePeak, measurePeak, type ProbeOptions } from "../../lib/ffi/mod.ts";
import { memoryOf } from "../../lib/autograd/device.ts";
import type { Device } from "../../mod.ts";
import type { BenchCase, PreparedCase, Work } from "./case.ts";
import { type CaseResult, caseResult } from "./results.ts";

/** What a mediocre machine reaches, to guess how long a case takes. */
const GUESS = { flops: 4e10, bytes: 4e9 } as const;

/** Seconds that the samples of a case should add up to. */
const CASE_SECONDS = 0.6;

/** `deno bench` calls a case this many times more than `n`, with `warmup: 1`. */
const FURTHER_CALLS = 2;

/**
 * Says how often to time a case: often where it is quick, at least three times with the calls that
 * `deno bench` adds.
 *
 * @param work What a call does.
 * @returns The `n` of `deno bench`.
 */
export function iterations({ flops, bytes }: Work): number {
  const seconds = Math.max(flops / GUESS.flops + bytes / GUESS.bytes, 1e-6);
  return Math.min(20, Math.max(1, Math.round(CASE_SECONDS / seconds) - FURTHER_CALLS));
}

/** Cases under way on a device: one at a time has buffers, so that memory holds the largest alone. */
export class Session implements Disposable {
  readonly #device: Device;
  readonly #probe: ProbeOptions;
  readonly #samples = new Map<BenchCase, number[]>();
  readonly #firstPeak: DevicePeak;
  /** Load of the machine before anything ran. */
  readonly load: number;
  #current: { readonly benchCase: BenchCase; readonly prepared: PreparedCase } | null = null;

  /**
   * Measures the machine's peaks a first time.
   *
   * @param device Where the cases run.
   * @param probe How long the peaks are measured.
   */
  constructor(device: Device, probe: ProbeOptions = {}) {
    this.#device = device;
    this.#probe = probe;
    this.load = Deno.loadavg()[0]!;
    this.#firstPeak = measurePeak(memoryOf(device).kernels, probe);
    device.trim();
  }

  /**
   * Takes a case in; results come in this order.
   *
   * @param benchCase The case.
   */
  add(benchCase: BenchCase): void {
    this.#samples.set(benchCase, []);
  }

  /**
   * Takes a case in and registers it with `deno bench`.
   *
   * @param benchCase The case.
   */
  register(benchCase: BenchCase): void {
    const { name } = benchCase;
    this.add(benchCase);
    // Without a group: `deno bench` would say how much faster one shape is than another.
    Deno.bench({ name, n: iterations(benchCase), warmup: 1 }, (b) => {
      this.sample(benchCase, () => b.start(), () => b.end());
    });
  }

  /**
   * Takes one sample. The first of a case frees the one before, makes the buffers and calls once
   * without timing, so that no sample pays for memory that is touched for the first time.
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
   * @returns The higher of both measurements: what the machine can do when nobody else uses it.
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

  /** Results of the cases that ran, in the order they were registered. */
  results(): CaseResult[] {
    return [...this.#samples].filter(([, seconds]) => seconds.length > 0)
      .map(([benchCase, seconds]) => caseResult(benchCase, seconds));
  }

  /** Frees what the last case left. */
  [Symbol.dispose](): void {
    this.#free();
  }
}
