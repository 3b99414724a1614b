/**
 * Stand-in for `@std/cli/unstable-progress-bar`: one line that is redrawn.
 *
 * @module
 */

/** What a formatter draws a line from. */
export interface ProgressBarFormatter {
  /** Time since the start as `mm:ss`. */
  styledTime: string;
  /** The bar itself, such as `###-------`. */
  progressBar: string;
  /** Milliseconds since the start. */
  time: number;
  /** `time` of the line before. */
  previousTime: number;
  /** Progress made. */
  value: number;
  /** `value` of the line before. */
  previousValue: number;
  /** Progress expected. */
  max: number;
}

/** How a bar looks, and where it goes. */
export interface ProgressBarOptions {
  /** Where it is written, default standard error. */
  writable?: WritableStream<Uint8Array>;
  /** Progress at the start, default 0. */
  value?: number;
  /** Progress expected. */
  max: number;
  /** Characters of the bar, default 50. */
  barLength?: number;
  /** Character for progress made, default `#`. */
  fillChar?: string;
  /** Character for progress to come, default `-`. */
  emptyChar?: string;
  /** Whether the line is removed at the end, default false. */
  clear?: boolean;
  /** Writes the line; by default time, bar, and the value in binary units of bytes. */
  formatter?: (formatter: ProgressBarFormatter) => string;
  /** Whether `writable` stays open at the end, default true. */
  keepOpen?: boolean;
  /** Milliseconds between two lines, default 1000. */
  interval?: number;
}

const LINE_CLEAR = "\r\u001b[K";

/** A line of progress: set `value`, then `await stop()`. */
export class ProgressBar {
  value: number;
  max: number;
  readonly #options: Required<Omit<ProgressBarOptions, "value" | "max">>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #start = Date.now();
  #previousTime = 0;
  #previousValue: number;

  constructor(options: ProgressBarOptions) {
    this.value = options.value ?? 0;
    this.max = options.max;
    this.#previousValue = this.value;
    this.#options = {
      writable: options.writable ?? Deno.stderr.writable,
      barLength: options.barLength ?? 50,
      fillChar: options.fillChar ?? "#",
      emptyChar: options.emptyChar ?? "-",
      clear: options.clear ?? false,
      formatter: options.formatter ?? byteLine,
      keepOpen: options.keepOpen ?? true,
      interval: options.interval ?? 1000,
    };
    this.#writer = this.#options.writable.getWriter();
    this.#timer = setInterval(() => void this.#draw(), this.#options.interval);
    void this.#draw();
  }

  /** Draws the last line, or removes it, and lets go of the stream. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#options.clear) {
      await this.#write(LINE_CLEAR);
    } else {
      await this.#draw();
      await this.#write("\n");
    }
    if (!this.#options.keepOpen) await this.#writer.close();
    this.#writer.releaseLock();
  }

  async #draw(): Promise<void> {
    const { barLength, fillChar, emptyChar, formatter } = this.#options;
    const time = Date.now() - this.#start;
    const ratio = Math.min(Math.max(this.value / this.max, 0), 1);
    const filled = Math.trunc(ratio * barLength);
    const line = formatter({
      styledTime: clock(time),
      progressBar: fillChar.repeat(filled) + emptyChar.repeat(barLength - filled),
      time,
      previousTime: this.#previousTime,
      value: this.value,
      previousValue: this.#previousValue,
      max: this.max,
    });
    this.#previousTime = time;
    this.#previousValue = this.value;
    await this.#write(LINE_CLEAR + line);
  }

  /** A closed terminal does not end the work whose progress it showed. */
  async #write(text: string): Promise<void> {
    try {
      await this.#writer.write(new TextEncoder().encode(text));
    } catch {
      clearInterval(this.#timer);
    }
  }
}

function clock(milliseconds: number): string {
  const minutes = Math.trunc(milliseconds / 60_000).toString().padStart(2, "0");
  const seconds = Math.trunc(milliseconds / 1000 % 60).toString().padStart(2, "0");
  return `${minutes}:${seconds}`;
}

function byteLine({ styledTime, progressBar, value, max }: ProgressBarFormatter): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  const unit = Math.min(Math.max(Math.trunc(Math.log2(max || 1) / 10), 0), units.length - 1);
  const scale = 1024 ** unit;
  const fraction = `${(value / scale).toFixed(2)}/${(max / scale).toFixed(2)} ${units[unit]}`;
  return `[${styledTime}] [${progressBar}] [${fraction}]`;
}
