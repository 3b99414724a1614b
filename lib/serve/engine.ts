/** Continuous batching: texts join and leave the batch between any two steps. @module */

import type { Device } from "../autograd/device.ts";
import type { OpenedModel } from "../model/open_model.ts";
import { ApiError } from "./api_error.ts";
import { CachedRows } from "./cached_rows.ts";
import type { ServeLimits } from "./limits.ts";
import { type JobListener, JobText, PromptJob, type PromptRequest } from "./prompt_job.ts";
import { nextParts, type PromptPart, readScored, takeExtension } from "./read_prompts.ts";

/** How busy an engine is. */
export interface EngineLoad {
  /** Rows of the cache that hold a text. */
  readonly running: number;
  /** Texts that wait for a row. */
  readonly waiting: number;
}

/** A text that grows, and its prompt. */
interface Growing {
  readonly job: PromptJob;
  readonly text: JobText;
}

/** A prompt and who hears of it. */
export type Submission = readonly [PromptRequest, JobListener];

/**
 * Runs a model on the texts of all requests at once.
 *
 * Each step gives every running text one token, and reads the next tokens of the prompts that have
 * arrived, up to a bounded number: a long prompt delays the others by a bounded time per token. Calls
 * of the kernels hold the thread, so the engine hands it back between steps.
 */
export class Engine implements Disposable {
  readonly #limits: ServeLimits;
  readonly #opened: OpenedModel;
  readonly #rows: CachedRows;
  readonly #free: number[];
  /** Prompts without rows, in order of arrival. */
  #waiting: PromptJob[] = [];
  /** Prompts with rows. */
  #running: PromptJob[] = [];
  #isStepping = false;
  #loop: Promise<void> | null = null;

  /** Makes room for the texts. */
  constructor(device: Device, opened: OpenedModel, limits: ServeLimits) {
    this.#opened = opened;
    this.#limits = limits;
    this.#rows = new CachedRows(device, opened.model, limits.rows, limits.context);
    this.#free = Array.from({ length: limits.rows }, (_, row) => row).reverse();
  }

  /** How busy it is. */
  get load(): EngineLoad {
    return {
      running: this.#limits.rows - this.#free.length,
      waiting: this.#waiting.reduce((sum, { request }) => sum + request.texts, 0),
    };
  }

  /** Resolves once nothing runs or waits. */
  async idle(): Promise<void> {
    await this.#loop;
  }

  /**
   * Takes the prompts of a request, all or none.
   *
   * @param submissions The prompts.
   * @returns Ends their texts wherever they are.
   * @throws {ApiError} If too many texts wait already.
   */
  submit(submissions: readonly Submission[]): () => void {
    const texts = submissions.reduce((sum, [{ texts }]) => sum + texts, 0);
    const { running, waiting } = this.load;
    const { rows, queue } = this.#limits;
    if (running + waiting + texts > rows + queue) {
      throw new ApiError(
        429,
        `The server is busy: ${running} texts are growing and ${waiting} wait, of at most ` +
          `${rows} and ${queue}; try again later`,
        { code: "queue_full", headers: { "retry-after": "1" } },
      );
    }
    const jobs = submissions.map(([request, listener]) => new PromptJob(request, listener));
    this.#waiting.push(...jobs);
    this.#loop ??= this.#run();
    return () => this.#cancel(jobs);
  }

  async #run(): Promise<void> {
    // The caller must have its means to cancel before the first answer.
    await nextTurn();
    while (this.#waiting.length > 0 || this.#running.length > 0) {
      this.#isStepping = true;
      await this.#step();
      this.#isStepping = false;
      this.#dropCancelled();
      await nextTurn();
    }
    this.#loop = null;
  }

  async #step(): Promise<void> {
    this.#admit();
    const growing = this.#running.flatMap((job) =>
      job.texts.filter(({ isDone }) => !isDone).map((text) => ({ job, text }))
    );
    const reading = this.#running.filter(({ isReading }) => isReading);
    const { extended, scored } = nextParts(reading, this.#limits.chunk);
    await this.#attempt([...growing, ...extended], () => this.#extend(growing, extended));
    await this.#attempt(scored, () => readScored(scored, this.#rows));
    for (const job of reading) if (!job.isOver && job.unread === 0) this.#begin(job);
  }

  /** Does something for jobs, all of which fail if it does. */
  async #attempt(parts: readonly { job: PromptJob }[], work: () => Promise<void>): Promise<void> {
    if (parts.length === 0) return;
    try {
      await work();
    } catch (error) {
      for (const { job } of parts) if (!job.isOver) this.#fail(job, error);
    }
  }

  /** Gives every growing text one token, and reads parts of prompts, in one call of the model. */
  async #extend(growing: readonly Growing[], parts: readonly PromptPart[]): Promise<void> {
    const logits = await this.#rows.extend(
      [...growing.map(({ text }) => [text.next]), ...parts.map(({ tokens }) => tokens)],
      [...growing.map(({ text }) => text.row), ...parts.map(({ job }) => job.rows[0]!)],
    );
    const works = [
      ...growing.map(({ job, text }, i) => ({
        job,
        work: () => this.#grow(job, text, logits[i]!),
      })),
      ...parts.map((part, i) => ({
        job: part.job,
        work: () => takeExtension(part, logits[growing.length + i]!),
      })),
    ];
    for (const { job, work } of works) {
      if (job.isOver || job.isCancelled) continue;
      try {
        work();
      } catch (error) {
        this.#fail(job, error);
      }
    }
  }

  #grow(job: PromptJob, text: JobText, logits: Float32Array): void {
    const piece = text.grow(logits);
    // A row is free before the client hears of its text's end.
    if (text.isDone) this.#release(job, [text.row]);
    if (job.rows.length === 0) this.#end(job);
    job.listener.piece(text.index, piece);
  }

  /** Gives rows to prompts in order of arrival; a prompt waits until all its texts have one. */
  #admit(): void {
    while (this.#waiting.length > 0) {
      const job = this.#waiting[0]!;
      const needed = job.isWork ? job.request.texts : 0;
      if (needed > this.#free.length) return;
      this.#waiting.shift();
      this.#running.push(job);
      job.rows = this.#free.splice(this.#free.length - needed);
      if (!job.isWork || job.unread === 0) this.#begin(job);
    }
  }

  /** A prompt has been read: its texts grow from copies of it. */
  #begin(job: PromptJob): void {
    const { rows: [first, ...others], request, listener } = job;
    listener.prompt(job.scores);
    if (request.maxTokens === 0) {
      this.#end(job);
      const nothing = { text: "", entries: [], drawn: 0, finish: "length" } as const;
      for (let text = 0; text < request.texts; text++) listener.piece(text, nothing);
      return;
    }
    if (job.read > 0 && others.length > 0) this.#rows.copy(first!, others);
    job.texts = job.rows.map((row, index) =>
      new JobText(request, this.#opened.tokenizer, index, row)
    );
  }

  #fail(job: PromptJob, error: unknown): void {
    this.#end(job);
    job.listener.fail(error);
  }

  #end(job: PromptJob): void {
    job.isOver = true;
    this.#release(job, job.rows);
    this.#running = this.#running.filter((each) => each !== job);
  }

  #release(job: PromptJob, rows: readonly number[]): void {
    job.rows = job.rows.filter((row) => !rows.includes(row));
    if (rows.length > 0) this.#rows.release(rows);
    this.#free.push(...rows);
  }

  /** Ends all texts, unfinished. */
  drop(): void {
    const jobs = [...this.#waiting, ...this.#running];
    this.#cancel(jobs);
    const error = new ApiError(503, "The server has stopped", { code: "stopping" });
    for (const { listener } of jobs) listener.fail(error);
  }

  #cancel(jobs: readonly PromptJob[]): void {
    for (const job of jobs) job.isCancelled = true;
    this.#waiting = this.#waiting.filter(({ isCancelled }) => !isCancelled);
    // A step under way still writes to its rows.
    if (!this.#isStepping) this.#dropCancelled();
  }

  #dropCancelled(): void {
    for (const job of this.#running) if (job.isCancelled) this.#end(job);
  }

  /** Frees the cache. */
  [Symbol.dispose](): void {
    this.#rows[Symbol.dispose]();
  }
}

/** Lets requests, answers and signals through, which `setImmediate` would go ahead of. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
