import { availableCores } from "../../machine.ts";
import { type EncodedTexts, encodeTexts } from "./encode_texts.ts";
import { TOKENIZER_NAMES } from "../tokenizer/open_tokenizer.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { WorkerReply, WorkerRequest } from "./tokenize_worker.ts";

/** More workers than this would each hold a vocabulary for little gain. */
const MOST_WORKERS = 8;

/** A worker, and the request it is at. */
interface Busy {
  readonly worker: Worker;
  current: Promise<unknown>;
  /** Rejects once the worker fails, before its first request even; nothing else waits for it. */
  readonly failure: Promise<never>;
}

/**
 * Encodes texts on all cores, each worker with a tokenizer of its own. The results do not depend on
 * the number of workers. Where workers cannot be had, it encodes in the calling thread.
 *
 * Bytes are encoded faster than they could be sent to a worker and back; a tokenizer that is not
 * known by name cannot be opened there.
 */
export class TokenizerPool implements Disposable {
  readonly #tokenizer: Tokenizer;
  #workers: Busy[];
  #next = 0;

  /**
   * Starts the workers.
   *
   * @param tokenizer The tokenizer.
   * @param workers How many, of which eight are used; by default one per core where that is of use.
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
      // Not allowed, or not here: the calling thread does it.
      this[Symbol.dispose]();
    }
  }

  /**
   * Encodes texts.
   *
   * @param texts The texts, none of them empty.
   * @returns Their tokens, as {@linkcode encodeTexts} gives them.
   */
  async encode(texts: readonly string[]): Promise<EncodedTexts> {
    const busy = this.#workers[this.#next++ % Math.max(1, this.#workers.length)];
    if (busy === undefined) return encodeTexts(this.#tokenizer, texts);
    const reply = busy.current.then(() => ask(busy, this.#tokenizer.name, texts));
    busy.current = reply.catch(() => {});
    try {
      return await reply;
    } catch {
      // A worker that failed, for lack of a permission say, is not asked again.
      busy.worker.terminate();
      this.#workers = this.#workers.filter((each) => each !== busy);
      return encodeTexts(this.#tokenizer, texts);
    }
  }

  /** Ends the workers. */
  [Symbol.dispose](): void {
    for (const { worker } of this.#workers) worker.terminate();
    this.#workers = [];
  }
}

function usefulWorkers({ name }: Tokenizer): number {
  const isKnown = TOKENIZER_NAMES.some((known) => known === name);
  return isKnown && name !== "byte" ? Math.min(MOST_WORKERS, availableCores()) : 0;
}

/** A worker that may not be loaded fails at once: unheard, that would end the program. */
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
