/**
 * The progress of all runs of a comparison in one line.
 *
 * @module
 */

import { estimatedFlops } from "../../lib/compare/match_compute.ts";
import { type ComparePlan, type PlannedRun, runIdentity } from "../../lib/compare/plan.ts";
import type { StoredRun } from "../../lib/compare/run_store.ts";
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

/** A run under way. */
interface UnderWay {
  readonly stored: StoredRun;
  /** Steps when it began here. */
  readonly from: number;
  step: number;
}

/** Between two lines where there is no terminal to draw on. */
const LINE_MS = 30_000;
const LOOK_MS = 1000;

/** Shows how far all runs are. */
export class CompareProgress implements Disposable {
  readonly #options: CompareProgressOptions;
  readonly #costs: Map<PlannedRun, number>;
  readonly #ended = new Set<PlannedRun>();
  readonly #underWay = new Map<PlannedRun, UnderWay>();
  readonly #started: number;
  readonly #timer: ReturnType<typeof setInterval>;
  #shownAt: number;
  /** FLOPs, by the estimate, that were worked off here. */
  #done = 0;

  /**
   * Begins to show the progress.
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
   * A run begins, or goes on.
   *
   * @param run The run.
   * @param stored Its folder.
   */
  start(run: PlannedRun, stored: StoredRun): void {
    const step = lastStep(`${stored.directory}/${METRICS}`);
    this.#underWay.set(run, { stored, from: step, step });
  }

  /**
   * A run has ended.
   *
   * @param run The run.
   * @param text What to tell of it; null: nothing.
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
   * Shows a line beside the progress.
   *
   * @param text The line.
   */
  note(text: string): void {
    const clear = this.#options.columns === null ? "" : "\r\x1b[K";
    this.#options.write(`${clear}${visible(text)}\n`);
  }

  /** Ends the progress. */
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

  /** What fits of it: half a number of steps would be another number. */
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

  /** By the pace of what was worked off here; null before there is any. */
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
 * Estimates what runs cost; one that several rows have in common costs once.
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
    // Seeds cost the same.
    const key = runIdentity({ ...run.config, seed: 0 }, null);
    const cost = known.get(key) ?? estimatedFlops(run.config);
    known.set(key, cost);
    return [run, isSame ? 0 : cost];
  }));
}

/**
 * Reads how far a run has come from the end of its figures.
 *
 * @param file The figures.
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
    // It has not begun to write.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return 0;
}
