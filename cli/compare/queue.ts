/**
 * Executes the runs of a comparison, several at once, in the plan's order.
 *
 * @module
 */

import { stepsWithin } from "../../lib/compare/match_compute.ts";
import type { ComparePlan, PlannedRun } from "../../lib/compare/plan.ts";
import type { RunResult } from "../../lib/compare/run_result.ts";
import type { RunStore } from "../../lib/compare/run_store.ts";
import type { StoredRun } from "../../lib/compare/stored_run.ts";
import type { RunOutcome } from "../../lib/compare/summary.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { ConfigError, FileError } from "../../lib/errors.ts";
import type { Launch } from "./child.ts";

/** Callbacks of the queue. */
export interface QueueEvents {
  /** A process starts or resumes a run. */
  readonly onStart: (run: PlannedRun, stored: StoredRun) => void;
  /** A run has ended; gets the outcomes of all runs so far. */
  readonly onEnd: (run: PlannedRun, outcomes: readonly RunOutcome[]) => void;
  /** Gets a message for the user. */
  readonly onNotice: (text: string) => void;
}

/** How runs are executed. */
export interface QueueOptions extends QueueEvents {
  /** Processes at once. */
  readonly jobs: number;
  /** Settings of every process that change no figures. */
  readonly over: (config: TrainConfig) => Pick<TrainConfig, "threads" | "memory">;
  /** Whether the checkpoints of finished runs are removed. */
  readonly dropWeights: boolean;
  /** Starts a process. */
  readonly launch: Launch;
  /** Stops all runs. */
  readonly signal: AbortSignal;
}

/** Between two checks of a run that a process of an earlier, killed command still trains. */
const WAIT_MS = 2000;

/**
 * Executes a plan. Finished runs are not started again, begun ones resume, and a run shared by
 * several rows is trained once. A failed run does not stop the others.
 *
 * @param plan The runs.
 * @param store Their folders.
 * @param options How they are executed.
 * @returns How each ended, in the plan's order.
 */
export async function workOff(
  plan: ComparePlan,
  store: RunStore,
  options: QueueOptions,
): Promise<RunOutcome[]> {
  const queue = new Queue(plan, store, options);
  await Promise.all(plan.runs.map((run) => queue.done(run)));
  return queue.outcomes();
}

/**
 * Returns how runs have ended, without starting any. A result that is missing or of another version
 * is computed from the run's metrics.
 *
 * @param plan The runs.
 * @param store Their folders.
 * @returns An outcome per run, in the plan's order.
 */
export function outcomesSoFar({ runs }: ComparePlan, store: RunStore): RunOutcome[] {
  const results = new Map<PlannedRun, RunResult | null>();
  return runs.map((run) => {
    const matched = run.matched === null ? null : results.get(run.matched) ?? null;
    const config = configOf(run, matched);
    const stored = config === null ? undefined : store.find(config, run.isa);
    const result = stored?.state() === "finished" ? finished(stored, false) : null;
    results.set(run, result);
    return outcomeOf(run, stored ?? null, result);
  });
}

/** The result of a run that is at its end; null, with the reason saved, if it cannot be used. */
function finished(stored: StoredRun, dropWeights: boolean): RunResult | null {
  try {
    return stored.finish(dropWeights);
  } catch (error) {
    // Incomplete or damaged metrics: the other runs are not affected.
    if (!(error instanceof ConfigError || error instanceof SyntaxError)) throw error;
    stored.fail(error.message);
    return null;
  }
}

/** The configuration, with the steps that the matched run's FLOPs allow; null until it ends. */
export function configOf(run: PlannedRun, matched: RunResult | null): TrainConfig | null {
  if (run.matched === null) return run.config;
  if (matched === null) return null;
  return { ...run.config, steps: stepsWithin(run.config, matched.flops) };
}

function outcomeOf(
  run: PlannedRun,
  stored: StoredRun | null,
  result: RunResult | null,
): RunOutcome {
  return {
    row: run.row,
    seed: run.seed,
    folder: stored?.name ?? null,
    result,
    failure: result === null ? stored?.failure ?? null : null,
  };
}

class Queue {
  readonly #tasks = new Map<PlannedRun, Promise<RunResult | null>>();
  readonly #underWay = new Map<StoredRun, Promise<RunResult | null>>();
  readonly #ended = new Map<PlannedRun, RunOutcome>();
  readonly #slots: Slots;

  constructor(
    readonly plan: ComparePlan,
    readonly store: RunStore,
    readonly options: QueueOptions,
  ) {
    this.#slots = new Slots(options.jobs);
  }

  /** Executes a run once, however many rows wait for it. */
  done(run: PlannedRun): Promise<RunResult | null> {
    const known = this.#tasks.get(run);
    if (known !== undefined) return known;
    const task = this.#do(run);
    this.#tasks.set(run, task);
    return task;
  }

  outcomes(): RunOutcome[] {
    return this.plan.runs.map((run) => this.#ended.get(run) ?? outcomeOf(run, null, null));
  }

  async #do(run: PlannedRun): Promise<RunResult | null> {
    const matched = run.matched === null ? null : await this.done(run.matched);
    const config = configOf(run, matched);
    if (config === null) {
      const reason = `${run.matched!.row}, whose FLOPs set its steps, is not finished`;
      const isStopped = this.options.signal.aborted;
      this.#end(run, { ...outcomeOf(run, null, null), failure: isStopped ? null : reason });
      return null;
    }
    const stored = this.store.obtain(`${run.row}-s${run.seed}`, config, run.isa);
    const shared = this.#underWay.get(stored) ?? this.#train(run, stored);
    this.#underWay.set(stored, shared);
    const result = await shared;
    this.#end(run, outcomeOf(run, stored, result));
    return result;
  }

  #end(run: PlannedRun, outcome: RunOutcome): void {
    this.#ended.set(run, outcome);
    this.options.onEnd(run, this.outcomes());
  }

  async #train(run: PlannedRun, stored: StoredRun): Promise<RunResult | null> {
    const { dropWeights, signal } = this.options;
    if (stored.state() !== "finished") {
      using _slot = await this.#slots.take(this.plan.runs.indexOf(run));
      if (signal.aborted) return null;
      const state = await this.#prepared(stored);
      if (state === null) return null;
      if (state !== "finished" && !await this.#launch(run, stored, state === "begun")) return null;
    }
    return finished(stored, dropWeights);
  }

  async #launch(run: PlannedRun, stored: StoredRun, resumes: boolean): Promise<boolean> {
    const { launch, over, signal, onStart } = this.options;
    onStart(run, stored);
    const { ok, reason } = await launch(stored, { over: over(stored.config), resumes, signal });
    if (!ok && !signal.aborted) stored.fail(reason);
    return ok;
  }

  /** Waits for the process of a killed command: it trains on, and its work is reused. */
  async #prepared(stored: StoredRun): Promise<ReturnType<StoredRun["prepare"]> | null> {
    for (let told = false; !this.options.signal.aborted; told = true) {
      try {
        return stored.prepare();
      } catch (error) {
        if (!(error instanceof FileError) || !error.path.endsWith("/.lock")) throw error;
        if (!told) this.options.onNotice(`Waiting for ${stored.name}: ${error.message}`);
        await pause(WAIT_MS, this.options.signal);
      }
    }
    return null;
  }
}

/** A semaphore whose waiters proceed in the plan's order. */
class Slots {
  #free: number;
  readonly #waiting: { readonly order: number; readonly go: () => void }[] = [];

  constructor(slots: number) {
    this.#free = slots;
  }

  async take(order: number): Promise<Disposable> {
    if (this.#free > 0) this.#free--;
    else {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push({ order, go: resolve });
      this.#waiting.sort((a, b) => a.order - b.order);
      await promise;
    }
    return { [Symbol.dispose]: () => this.#give() };
  }

  #give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next.go();
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  return promise;
}
