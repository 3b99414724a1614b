/** A server of a small random model, without a network. @module */

import { assertEquals } from "@std/assert";
import { openTokenizer } from "../../lib/data/mod.ts";
import { buildModel } from "../../lib/model/build_model.ts";
import type { AnswerChoice, AnswerUsage } from "../../lib/serve/completion_answer.ts";
import { Handler } from "../../lib/serve/handler.ts";
import type { ServeLimits } from "../../lib/serve/limits.ts";
import { type ConfigLayer, parseConfig } from "../../lib/train/mod.ts";
import { openDevice } from "../tensor/open_device.ts";

export const tokenizer = await openTokenizer("byte");

export const LIMITS: ServeLimits = {
  rows: 4,
  context: 64,
  queue: 8,
  chunk: 16,
  body: 20_000,
  bodySeconds: 30,
};

/** An answer to a request for completions. */
export interface Completion {
  readonly id: string;
  readonly object: string;
  readonly model: string;
  readonly choices: readonly AnswerChoice[];
  readonly usage: AnswerUsage;
}

/** A model with weights large enough for clear preferences, and the vocabulary padded to 260. */
export async function openSmall(limits: Partial<ServeLimits> = {}, layer: ConfigLayer = {}) {
  const sizes = { layers: 2, hidden: 32, heads: 4, groups: 2, init_std: 0.3, vocabulary: 260 };
  const config = parseConfig({ preset: "pico", model: sizes, ...layer });
  const device = await openDevice({ seed: 7, threads: 1 });
  const built = buildModel(device, config);
  const { model } = built;
  const opened = { model, tokenizer, config, step: 3, textHash: undefined, [Symbol.dispose]() {} };
  const all = { ...LIMITS, ...limits };
  const handler = new Handler({ device, opened, name: "small", limits: all, page: "<p>page</p>" });
  const small = new Small(handler);
  return Object.assign(small, {
    device,
    model,
    opened,
    async [Symbol.asyncDispose]() {
      await handler.drop();
      handler[Symbol.dispose]();
      built[Symbol.dispose]();
      device[Symbol.dispose]();
    },
  });
}

/** Sends requests to a handler. */
export class Small {
  constructor(readonly handler: Handler) {}

  /** Sends a request with a body as it is. */
  send(path: string, init: RequestInit = {}): Promise<Response> {
    return this.handler.handle(new Request(`http://localhost${path}`, init));
  }

  /** Posts JSON. */
  post(path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
    return this.send(path, { method: "POST", body: JSON.stringify(body), ...init });
  }

  /** Completes texts. */
  async complete(body: object): Promise<Completion> {
    const response = await this.post("/v1/completions", body);
    const answer = await response.json();
    assertEquals(response.status, 200, JSON.stringify(answer));
    return answer;
  }

  /** Completes texts piece by piece. */
  async stream(body: object): Promise<Completion[]> {
    const response = await this.post("/v1/completions", { ...body, stream: true });
    assertEquals(response.headers.get("content-type"), "text/event-stream");
    const events = (await response.text()).split("\n\n");
    assertEquals(events.splice(-2), ["data: [DONE]", ""]);
    return events.map((event) => JSON.parse(event.slice("data: ".length)));
  }

  /** The error of a request that is refused. */
  async refused(body: unknown, status: number): Promise<Record<string, string | null>> {
    const response = await this.post("/v1/completions", body);
    const answer = await response.json();
    assertEquals(response.status, status, JSON.stringify(answer));
    assertEquals(Object.keys(answer.error), ["message", "type", "param", "code"]);
    return answer.error;
  }

  /** How busy the server is. */
  async load(): Promise<Record<string, unknown>> {
    return await (await this.send("/health")).json();
  }
}
