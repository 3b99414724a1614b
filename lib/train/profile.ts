/** Where a training step spends its time, by phase and kernel: as a table and a trace. @module */

import { requireInstance, requireOneOf, requireOptions, requireWhole } from "../arguments.ts";
import { Device, memoryOf } from "../autograd/device.ts";
import { timeCalls } from "../ffi/mod.ts";

/** The phases of a step. */
export type StepPhase = "data" | "forward" | "backward" | "optimizer" | "readout";

/** The time of one kernel in one phase. */
export interface ProfileEntry {
  /** The phase of the step. */
  readonly phase: StepPhase;
  /** The kernel; null: the rest of the phase, spent in TypeScript and in calling kernels. */
  readonly kernel: string | null;
  /** Calls per step. */
  readonly calls: number;
  /** Milliseconds per step. */
  readonly ms: number;
  /** Share of the step's time. */
  readonly share: number;
}

/** The result of a {@linkcode StepProfile}. */
export interface ProfileSummary {
  /** Steps it covers. */
  readonly steps: number;
  /** Milliseconds per step. */
  readonly ms: number;
  /** Phases in order, and within each the longest entries first. */
  readonly entries: readonly ProfileEntry[];
  /** Share of the time in which no kernel ran. */
  readonly hostShare: number;
}

/** One bar of a trace, in the format of Chrome's and Perfetto's viewers. */
export interface TraceEvent {
  /** What ran. */
  readonly name: string;
  /** `phase` or `kernel`. */
  readonly cat: string;
  /** The event type: a bar with a duration. */
  readonly ph: "X";
  /** Start in microseconds. */
  readonly ts: number;
  /** Duration in microseconds. */
  readonly dur: number;
  /** Always 1. */
  readonly pid: 1;
  /** The row in the viewer: 1 for phases, 2 for kernels. */
  readonly tid: 1 | 2;
}

/** Options of a {@linkcode StepProfile}. */
export interface ProfileOptions {
  /** Steps to skip first, while memory is being mapped and code compiled; default 3. */
  readonly skip?: number;
  /** Steps to trace call by call; default 5. The table covers all steps. */
  readonly traced?: number;
}

const PHASES: readonly StepPhase[] = ["data", "forward", "backward", "optimizer", "readout"];

interface Sum {
  calls: number;
  ms: number;
}

/**
 * Profiles steps until it is disposed of; pass it to `train` as `profile`. On a device that queues
 * its work, each call is waited for, so a profiled step takes longer there.
 *
 * @example
 * ```ts
 * import { assert, assertEquals } from "@std/assert";
 * import { Device } from "@remoe/remoe";
 * import { StepProfile } from "@remoe/remoe/train";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using profile = new StepProfile(device, { skip: 1 });
 * for (let step = 0; step < 3; step++) {
 *   profile.enter("forward");
 *   using _scope = device.scope();
 *   device.zeros([64, 64]);
 *   profile.endStep();
 * }
 * const summary = profile.summary();
 * assertEquals(summary?.steps, 2);
 * assert(summary?.entries.some(({ kernel }) => kernel === "fill"));
 * ```
 */
export class StepProfile implements Disposable {
  readonly #timing: Disposable;
  readonly #skip: number;
  readonly #traced: number;
  readonly #kernels = new Map<StepPhase, Map<string, Sum>>();
  readonly #phases = new Map<StepPhase, number>();
  readonly #trace: TraceEvent[] = [];
  #phase: StepPhase | null = null;
  #phaseStart = 0;
  #step = 0;
  #ms = 0;
  #stepStart = 0;

  /**
   * Starts timing a device's calls.
   *
   * @param device The device that the steps run on.
   * @param options How many steps to skip and to trace.
   * @throws {TypeError} If an argument has the wrong type.
   * @throws {RangeError} If a count is out of range.
   * @throws {DeviceError} If the device is closed.
   */
  constructor(device: Device, options: ProfileOptions = {}) {
    requireOptions("profile", options, { skip: true, traced: true });
    const { skip = 3, traced = 5 } = options;
    requireInstance("profile", "device", device, Device);
    requireWhole("profile", "skip", skip);
    requireWhole("profile", "traced", traced);
    this.#skip = skip;
    this.#traced = traced;
    this.#timing = timeCalls(memoryOf(device).kernels, (name, start, end) => {
      this.#call(name, start, end);
    });
  }

  /**
   * Enters a phase of a step; the first one begins the step.
   *
   * @param phase The phase.
   * @throws {TypeError} If there is no such phase.
   */
  enter(phase: StepPhase): void {
    requireOneOf("profile a step", "phase", phase, PHASES);
    const now = performance.now();
    if (this.#phase === null) {
      this.#step++;
      this.#stepStart = now;
    } else {
      this.#leave(now);
    }
    this.#phase = phase;
    this.#phaseStart = now;
  }

  /** Ends the step. */
  endStep(): void {
    if (this.#phase === null) return;
    const now = performance.now();
    this.#leave(now);
    this.#phase = null;
    if (this.#counts) this.#ms += now - this.#stepStart;
  }

  /**
   * Averages the steps so far.
   *
   * @returns The times per step; null if no step counts yet.
   */
  summary(): ProfileSummary | null {
    const steps = this.#step - this.#skip - (this.#phase === null ? 0 : 1);
    if (steps <= 0) return null;
    const entries = PHASES.flatMap((phase) => this.#entries(phase, steps));
    const host = entries.filter(({ kernel }) => kernel === null);
    return {
      steps,
      ms: this.#ms / steps,
      entries,
      hostShare: host.reduce((sum, { share }) => sum + share, 0),
    };
  }

  /**
   * Returns the calls of the traced steps.
   *
   * @returns The contents of a file for Chrome's and Perfetto's viewers.
   */
  trace(): { traceEvents: readonly TraceEvent[]; displayTimeUnit: "ms" } {
    return { traceEvents: this.#trace, displayTimeUnit: "ms" };
  }

  /** Stops timing. */
  [Symbol.dispose](): void {
    this.#timing[Symbol.dispose]();
  }

  get #counts(): boolean {
    return this.#step > this.#skip;
  }

  get #traces(): boolean {
    return this.#counts && this.#step <= this.#skip + this.#traced;
  }

  #leave(now: number): void {
    const phase = this.#phase!;
    if (!this.#counts) return;
    this.#phases.set(phase, (this.#phases.get(phase) ?? 0) + now - this.#phaseStart);
    if (this.#traces) this.#trace.push(bar(phase, "phase", this.#phaseStart, now));
  }

  #call(symbol: string, start: number, end: number): void {
    if (this.#phase === null || !this.#counts) return;
    const name = symbol.replace(/^remoe_/, "");
    let kernels = this.#kernels.get(this.#phase);
    if (kernels === undefined) this.#kernels.set(this.#phase, kernels = new Map<string, Sum>());
    const sum = kernels.get(name) ?? { calls: 0, ms: 0 };
    sum.calls++;
    sum.ms += end - start;
    kernels.set(name, sum);
    if (this.#traces) this.#trace.push(bar(name, "kernel", start, end));
  }

  #entries(phase: StepPhase, steps: number): ProfileEntry[] {
    const total = this.#phases.get(phase) ?? 0;
    const kernels = [...this.#kernels.get(phase) ?? []].sort(([, a], [, b]) => b.ms - a.ms);
    const inKernels = kernels.reduce((sum, [, { ms }]) => sum + ms, 0);
    const entry = (kernel: string | null, { calls, ms }: Sum): ProfileEntry => ({
      phase,
      kernel,
      calls: calls / steps,
      ms: ms / steps,
      share: ms / this.#ms,
    });
    return total === 0 ? [] : [
      ...kernels.map(([name, sum]) => entry(name, sum)),
      entry(null, { calls: 0, ms: total - inKernels }),
    ];
  }
}

function bar(name: string, cat: string, start: number, end: number): TraceEvent {
  return {
    name,
    cat,
    ph: "X",
    ts: start * 1000,
    dur: (end - start) * 1000,
    pid: 1,
    tid: cat === "phase" ? 1 : 2,
  };
}
