import { availableCores } from "../../machine.ts";
import { type EncodedTexts, encodeTexts } from "./encode_texts.ts";
import { TOKENIZER_NAMES } from "../tokenizer/open_tokenizer.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { WorkerReply, WorkerRequest } from "./tokenize_worker.ts";

/** Each further worker would hold another copy of the vocabulary for little gain. */
const MOST_WORKERS = 8;

/** A worker, and the request it is working on. */
interface Busy {
  readonly worker: Worker;
  current: Promise<unknown>;
  /** Rejects when the worker fails, even before its first request; nothing else awaits it. */
  readonly failure: Promise<never>;
}

/**
 * Encodes texts on all cores, with one tokenizer per worker. The results do not depend on the
 * number of workers. If workers are unavailable, it encodes on the calling thread.
 *
 * Two kinds of tokenizers get no workers by default: the byte tokenizer, which is faster than
 * sending texts to a worker and back, and custom ones, which a worker cannot open by name.
 */
export class TokenizerPool implements Disposable {
  readonly #tokenizer: Tokenizer;
  #workers: Busy[];
  #next = 0;

  /**
   * Starts the workers.
   *
   * @param tokenizer The tokenizer.
   * @param workers How many, at most eight; by default one per core where that helps.
   */
  constructor(tokenizer: Tokenizer, workers: number = usefulWorkers(tokenizer)) {
    this.#tokenizer = tokenizer;
    this.#workers = [];
    try {
      for (let i = 0; i < Math.min(workers, MOST_WORKERS); i++) {
        const url = new URL("./tokenize_worker.ts", import.meta.url);
        const worker = new Worker(url, { type: "module" });
        this.#workers.push({ worker, current: Promise.resolve(), failure: failureOf(worker) });
      }
    } catch {
      // Workers are not allowed or not supported: the calling thread encodes.
      this[Symbol.dispose]();
    }
  }

  /**
   * Encodes texts.
   *
   * @param texts The texts, none of them empty.
   * @returns Their tokens, as {@linkcode encodeTexts} returns them.
   */
  async encode(texts: readonly string[]): Promise<EncodedTexts> {
    const busy = this.#workers[this.#next++ % Math.max(1, this.#workers.length)];
    if (busy === undefined) return encodeTexts(this.#tokenizer, texts);
    const reply = busy.current.then(() => ask(busy, this.#tokenizer.name, texts));
    busy.current = reply.catch(() => {});
    try {
      return await reply;
    } catch {
      // A worker that failed, for example for lack of a permission, is not used again.
      busy.worker.terminate();
      this.#workers = this.#workers.filter((each) => each !== busy);
      return encodeTexts(this.#tokenizer, texts);
    }
  }

  /** Terminates the workers. */
  [Symbol.dispose](): void {
    for (const { worker } of this.#workers) worker.terminate();
    this.#workers = [];
  }
}

function usefulWorkers({ name }: Tokenizer): number {
  const isKnown = TOKENIZER_NAMES.some((known) => known === name);
  return isKnown && name !== "byte" ? Math.min(MOST_WORKERS, availableCores()) : 0;
}

/** Captures a worker's failure to load, which would end the program if unhandled. */
function failureOf(worker: Worker): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new Error(event.message));
  };
  return promise;
}

function ask(
  { worker, failure }: Busy,
  tokenizer: string,
  texts: readonly string[],
): Promise<EncodedTexts> {
  const { promise, resolve } = Promise.withResolvers<EncodedTexts>();
  worker.onmessage = ({ data }: MessageEvent<WorkerReply>) => resolve(data.encoded);
  worker.postMessage({ tokenizer, texts } satisfies WorkerRequest);
  return Promise.race([promise, failure]);
}
