/** Answers `POST /v1/completions`. @module */

import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import { ApiError, asApiError } from "./api_error.ts";
import { type AnswerChoice, appendChoice, CompletionAnswer } from "./completion_answer.ts";
import {
  type CompletionRequest,
  parseCompletion,
  type RequestRules,
} from "./completion_request.ts";
import type { Engine } from "./engine.ts";
import { EventStream } from "./event_stream.ts";
import { readJsonObject } from "./read_json.ts";

/** What answers are made with. */
export interface CompletionMaker {
  /** Runs the model. */
  readonly engine: Engine;
  /** What requests are checked against. */
  readonly rules: RequestRules;
}

/**
 * Answers a request to complete texts. A client that leaves gives its places back.
 *
 * @param request The request.
 * @param maker Runs and checks it.
 * @returns The answer, or the stream of its pieces.
 * @throws {ApiError} If the request cannot be used, or too many wait already.
 */
export async function answerCompletion(
  request: Request,
  { engine, rules }: CompletionMaker,
): Promise<Response> {
  const asked = parseCompletion(await readJsonObject(request, rules.limits), rules);
  const head = {
    id: `cmpl-${crypto.randomUUID()}`,
    object: "text_completion",
    created: Math.floor(Date.now() / 1000),
    model: rules.model,
  };
  if (asked.stream) return streamed(asked, head, engine, rules.tokenizer);
  return await whole(asked, head, engine, rules.tokenizer, request.signal);
}

/** Submits a request's prompts; returns what ends them. */
function submit(engine: Engine, asked: CompletionRequest, answer: CompletionAnswer): () => void {
  return engine.submit(asked.prompts.map((prompt, i) => [prompt, answer.listener(i)] as const));
}

function streamed(
  asked: CompletionRequest,
  head: object,
  engine: Engine,
  tokenizer: Tokenizer,
): Response {
  let cancel = (): void => {};
  const events = new EventStream(() => cancel());
  const usage = asked.includeUsage ? { usage: null } : {};
  const answer = new CompletionAnswer(asked, tokenizer, {
    choice: (choice) => events.send({ ...head, choices: [choice], ...usage }),
    done: () => {
      if (asked.includeUsage) events.send({ ...head, choices: [], usage: answer.usage });
      events.end();
    },
    fail: (error) => {
      cancel();
      events.send(asApiError(error).body);
      events.end();
    },
  });
  cancel = submit(engine, asked, answer);
  return events.response();
}

function whole(
  asked: CompletionRequest,
  head: object,
  engine: Engine,
  tokenizer: Tokenizer,
  signal: AbortSignal,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const choices: AnswerChoice[] = [];
  const answer = new CompletionAnswer(asked, tokenizer, {
    choice: (piece) => {
      const own = choices[piece.index];
      if (own === undefined) choices[piece.index] = piece;
      else appendChoice(own, piece);
    },
    done: () => resolve(Response.json({ ...head, choices, usage: answer.usage })),
    fail: (error) => {
      cancel();
      reject(asApiError(error));
    },
  });
  const cancel = submit(engine, asked, answer);
  const leave = (): void => {
    cancel();
    // Nobody reads it; the status is the customary one.
    reject(new ApiError(499, "The client has left", { cause: signal.reason }));
  };
  if (signal.aborted) leave();
  signal.addEventListener("abort", leave);
  return promise.finally(() => signal.removeEventListener("abort", leave));
}
