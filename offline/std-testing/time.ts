/**
 * Stand-in for `@std/testing/time`: time that moves when told to.
 *
 * @module
 */

interface Timer {
  id: number;
  due: number;
  period: number | undefined;
  run: () => void;
}

const REPLACED = ["Date", "setTimeout", "clearTimeout", "setInterval", "clearInterval"] as const;

/** Replaces `Date` and the timers until restored, or until the end of a `using` block. */
export class FakeTime implements Disposable {
  readonly start: number;
  #now: number;
  #nextId = 1;
  #timers = new Map<number, Timer>();
  #real: Record<string, unknown> = {};

  constructor(start: number | string | Date = Date.now()) {
    this.start = new Date(start).getTime();
    this.#now = this.start;
    const scope = globalThis as unknown as Record<string, unknown>;
    for (const name of REPLACED) this.#real[name] = scope[name];
    Object.assign(scope, this.#fakes());
  }

  /** Milliseconds since 1970; setting it runs every timer that falls due. */
  get now(): number {
    return this.#now;
  }
  set now(value: number) {
    if (value < this.#now) throw new RangeError("Cannot set time in the past");
    for (let timer = this.#due(value); timer !== undefined; timer = this.#due(value)) {
      this.#now = timer.due;
      if (timer.period === undefined) this.#timers.delete(timer.id);
      else timer.due += timer.period;
      timer.run();
    }
    this.#now = value;
  }

  /** Moves time on. */
  tick(milliseconds = 0): void {
    this.now += milliseconds;
  }

  /** Moves time on after the pending microtasks. */
  async tickAsync(milliseconds = 0): Promise<void> {
    await this.runMicrotasks();
    this.now += milliseconds;
  }

  /** Waits, in real time, until the pending microtasks have run. */
  async runMicrotasks(): Promise<void> {
    const setTimeout = this.#real.setTimeout as typeof globalThis.setTimeout;
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
  }

  /** Puts real time back. */
  restore(): void {
    Object.assign(globalThis, this.#real);
    this.#timers.clear();
  }

  [Symbol.dispose](): void {
    this.restore();
  }

  /** The earliest timer due by `value`; of those due together, the oldest. */
  #due(value: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers.values()) {
      if (timer.due <= value && (first === undefined || timer.due < first.due)) first = timer;
    }
    return first;
  }

  #add(run: () => void, delay: number, repeat: boolean): number {
    const wait = Math.max(repeat ? 1 : 0, Math.floor(delay));
    const id = this.#nextId++;
    this.#timers.set(id, { id, due: this.#now + wait, period: repeat ? wait : undefined, run });
    return id;
  }

  #fakes(): Record<string, unknown> {
    const RealDate = Date;
    const now = () => this.#now;
    class FakeDate extends RealDate {
      constructor(...args: unknown[]) {
        super(...(args.length === 0 ? [now()] : args) as [number]);
      }
      static override now(): number {
        return now();
      }
    }
    const clear = (id: number) => void this.#timers.delete(id);
    return {
      Date: FakeDate,
      setTimeout: (run: (...args: unknown[]) => void, delay = 0, ...args: unknown[]) =>
        this.#add(() => run(...args), delay, false),
      setInterval: (run: (...args: unknown[]) => void, delay = 0, ...args: unknown[]) =>
        this.#add(() => run(...args), delay, true),
      clearTimeout: clear,
      clearInterval: clear,
    };
  }
}
