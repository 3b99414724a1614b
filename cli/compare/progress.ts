/**
 * The progress of a comparison's runs, in one line.
 *
 * @module
 */

import { estimatedFlops } from "../../lib/compare/match_compute.ts";
import { type ComparePlan, type PlannedRun, runIdentity } from "../../lib/compare/plan.ts";
import type { StoredRun } from "../../lib/compare/stored_run.ts";
import { METRICS } from "../../lib/run/find_run.ts";
import { visible, visibleName } from "../../lib/visible.ts";
import { formatSeconds } from "../shared/format.ts";

/** How the progress is shown. */
export interface CompareProgressOptions {
  /** Columns of the terminal; null: not a terminal. */
  readonly columns: number | null;
  /** Writes text to standard error. */
  readonly write: (text: string) => void;
  /** Milliseconds from any fixed point. */
  readonly now: () => number;
}

/** A run in progress. */
interface UnderWay {
  readonly stored: StoredRun;
  /** Its step when this command started it. */
  readonly from: number;
  step: number;
}

/** Milliseconds between lines if the output is not a terminal. */
const LINE_MS = 30_000;
const LOOK_MS = 1000;

/** Shows how far all runs have got. */
export class CompareProgress implements Disposable {
  readonly #options: CompareProgressOptions;
  readonly #costs: Map<PlannedRun, number>;
  readonly #ended = new Set<PlannedRun>();
  readonly #underWay = new Map<PlannedRun, UnderWay>();
  readonly #started: number;
  readonly #timer: ReturnType<typeof setInterval>;
  #shownAt: number;
  /** Estimated FLOPs that this command has completed. */
  #done = 0;

  /**
   * Starts showing progress.
   *
   * @param plan All runs.
   * @param options Where to show it.
   */
  constructor({ runs }: ComparePlan, options: CompareProgressOptions) {
    this.#options = options;
    this.#costs = costsOf(runs);
    this.#started = this.#shownAt = options.now();
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /**
   * Records that a run starts or resumes.
   *
   * @param run The run.
   * @param stored Its folder.
   */
  start(run: PlannedRun, stored: StoredRun): void {
    const step = lastStep(`${stored.directory}/${METRICS}`);
    this.#underWay.set(run, { stored, from: step, step });
  }

  /**
   * Records that a run has ended.
   *
   * @param run The run.
   * @param text What to report; null: nothing.
   */
  end(run: PlannedRun, text: string | null): void {
    const one = this.#underWay.get(run);
    if (one !== undefined) {
      const { from, stored: { config: { steps } } } = one;
      this.#done += this.#costs.get(run)! * (1 - from / steps);
    }
    this.#underWay.delete(run);
    this.#ended.add(run);
    if (text !== null) this.note(text);
  }

  /**
   * Prints a line above the progress.
   *
   * @param text The line.
   */
  note(text: string): void {
    const clear = this.#options.columns === null ? "" : "\r\x1b[K";
    this.#options.write(`${clear}${visible(text)}\n`);
  }

  /** Stops showing progress. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#options.columns !== null) this.#options.write("\r\x1b[K");
  }

  #look(): void {
    const { columns, write, now } = this.#options;
    if (columns === null && now() - this.#shownAt < LINE_MS) return;
    this.#shownAt = now();
    for (const one of this.#underWay.values()) {
      one.step = Math.max(one.step, lastStep(`${one.stored.directory}/${METRICS}`));
    }
    const line = this.#line(columns === null ? Infinity : columns - 1);
    write(columns === null ? `${line}\n` : `\r\x1b[K${line}`);
  }

  /** As many items as fit: a truncated number of steps would be a different number. */
  #line(columns: number): string {
    const runs = [...this.#underWay.values()].map(({ stored, step }) =>
      `${stored.name} ${step}/${stored.config.steps}`
    );
    const left = this.#secondsLeft();
    const items = [
      `${this.#ended.size}/${this.#costs.size} runs`,
      `ETA ${left === null ? "…" : formatSeconds(left)}`,
      ...runs,
    ].map(visibleName);
    while (items.length > 1 && items.join("  ").length > columns) items.pop();
    return items.join("  ").slice(0, columns);
  }

  /** Extrapolates this command's pace; null before there is any. */
  #secondsLeft(): number | null {
    let [done, left] = [this.#done, 0];
    for (const [run, cost] of this.#costs) {
      if (this.#ended.has(run)) continue;
      const one = this.#underWay.get(run);
      if (one === undefined) left += cost;
      else {
        const { from, step, stored: { config: { steps } } } = one;
        done += cost * (step - from) / steps;
        left += cost * (1 - step / steps);
      }
    }
    const seconds = (this.#options.now() - this.#started) / 1000;
    return done === 0 ? null : left * seconds / done;
  }
}

/**
 * Estimates the cost of runs; a run shared by several rows counts once.
 *
 * @param runs The runs.
 * @returns FLOPs of each.
 */
export function costsOf(runs: readonly PlannedRun[]): Map<PlannedRun, number> {
  const seen = new Set<string>();
  const known = new Map<string, number>();
  return new Map(runs.map((run) => {
    const identity = runIdentity(run.config, run.isa);
    const isSame = seen.has(identity);
    seen.add(identity);
    // All seeds cost the same.
    const key = runIdentity({ ...run.config, seed: 0 }, null);
    const cost = known.get(key) ?? estimatedFlops(run.config);
    known.set(key, cost);
    return [run, isSame ? 0 : cost];
  }));
}

/**
 * Reads a run's last step from the end of its metrics.
 *
 * @param file The metrics file.
 * @returns The last step; 0 if there is none.
 */
export function lastStep(file: string): number {
  try {
    using open = Deno.openSync(file);
    const { size } = open.statSync();
    for (const length of [1 << 16, 1 << 22]) {
      const bytes = new Uint8Array(Math.min(size, length));
      open.seekSync(size - bytes.length, Deno.SeekMode.Start);
      const read = open.readSync(bytes) ?? 0;
      const text = new TextDecoder().decode(bytes.subarray(0, read));
      const step = [...text.matchAll(/^\{"step":(\d+)\b.*\}$/gm)].at(-1)?.[1];
      if (step !== undefined) return Number(step);
    }
  } catch (error) {
    // It has not written anything yet.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return 0;
}
