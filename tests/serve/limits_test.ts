/** What a server refuses, and how it shares its places. */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError, DeviceError } from "../../lib/errors.ts";
import { unwrapped } from "../../lib/tensor/operands.ts";
import { upload } from "../../lib/tensor/transfer.ts";
import { Handler } from "../../lib/serve/handler.ts";
import { requireServable } from "../../lib/serve/require_servable.ts";
import { LIMITS, openSmall, type Small } from "./small_server.ts";

/** A body, the field at fault, and words of the message. */
const BAD: readonly (readonly [body: object, param: string | null, ...words: string[]])[] = [
  [[], null, "not a JSON object"],
  [{ tempature: 1 }, "tempature", "Unknown field tempature, did you mean temperature?"],
  [{ ["x".repeat(5000)]: 1 }, "x".repeat(60), "Unknown field"],
  [{ chat_template: "x" }, "chat_template", "Unknown field"],
  [{ presence_penalty: 0.5 }, "presence_penalty", "presence_penalty is not supported"],
  [{ frequency_penalty: -1 }, "frequency_penalty", "is not supported"],
  [{ logit_bias: { "5": 1 } }, "logit_bias", "is not supported"],
  [{ suffix: "end" }, "suffix", "is not supported"],
  [{ best_of: 2 }, "best_of", "is not supported"],
  [{ max_tokens: -1 }, "max_tokens", "max_tokens is -1", "at least 0"],
  [{ max_tokens: 1.5 }, "max_tokens", "max_tokens is 1.5"],
  [{ max_tokens: "5" }, "max_tokens", 'max_tokens is "5"'],
  [{ temperature: -0.1 }, "temperature", "temperature is -0.1"],
  [{ temperature: 1e9 }, "temperature", "from 0 to 100"],
  [{ top_p: 0 }, "top_p", "top_p is 0", "above 0 and at most 1"],
  [{ top_k: 0 }, "top_k", "top_k is 0"],
  [{ logprobs: 6 }, "logprobs", "logprobs is 6", "from 0 to 5"],
  [{ logprobs: true }, "logprobs", "logprobs is true"],
  [{ echo: 1 }, "echo", "echo is 1", "true or false"],
  [{ stop: "" }, "stop", "stop is"],
  [{ stop: ["a", ""] }, "stop", "stop is"],
  [{ stop: ["a", "b", "c", "d", "e"] }, "stop", "up to 4"],
  [{ stop: "\ud800" }, "stop", "stop is"],
  [{ seed: -1 }, "seed", "seed is -1"],
  [{ seed: 2 ** 53 }, "seed", "seed is 9007199254740992"],
  [{ n: 0 }, "n", "n is 0"],
  [{ n: 5 }, "n", "n is 5, expected at most 4"],
  [{ stream: "yes" }, "stream", 'stream is "yes"'],
  [{ stream_options: { include_usage: true } }, "stream_options", "stream true"],
  [{ stream: true, stream_options: { more: 1 } }, "stream_options", "include_usage"],
  [{ prompt: 5 }, "prompt", "prompt is 5", "a list of token ids"],
  [{ prompt: [] }, "prompt", "an empty list"],
  [{ prompt: [[]] }, "prompt", "prompt[0] is an empty list"],
  [{ prompt: [null] }, "prompt", "prompt[0] is null"],
  [{ prompt: ["a", 1] }, "prompt", "prompt[1] is 1", "a text"],
  [{ prompt: [[1], "a"] }, "prompt", 'prompt[1] is "a"', "token ids"],
  [{ prompt: [1, 260] }, "prompt", "prompt[1] is 260", "from 0 to 259"],
  [{ prompt: [1, -1] }, "prompt", "prompt[1] is -1"],
  [{ prompt: [1, 2.5] }, "prompt", "prompt[1] is 2.5"],
  [{ prompt: "half \udc00" }, "prompt", "surrogate"],
  [{ prompt: "x".repeat(65), max_tokens: 0 }, "prompt", "has 65 tokens", "the 64 tokens"],
  [{ prompt: ["x", "y".repeat(50)], max_tokens: 15 }, "prompt", "Prompt 1 has 50 tokens"],
  [{ prompt: Array(13).fill("a") }, "prompt", "13 prompts", "12 texts"],
];

Deno.test("what cannot be used is refused by name", async () => {
  await using small = await openSmall();
  for (const [body, param, ...words] of BAD) {
    const error = await small.refused(body, 400);
    assertEquals([error.type, error.param], ["invalid_request_error", param], error.message!);
    for (const word of words) {
      assert(error.message!.includes(word), `${error.message} lacks ${word}`);
    }
  }
  const long = await small.refused({ prompt: "x".repeat(60), max_tokens: 5 }, 400);
  assertEquals(long.code, "context_length_exceeded");
  // Encoding would hold the thread, so what cannot fit is not encoded.
  const endless = await small.refused({ prompt: "x".repeat(19_000) }, 400);
  assertEquals(endless.code, "context_length_exceeded");
  assertStringIncludes(endless.message!, "19000 characters");
  const first = await small.refused({ prompt: ["x".repeat(60), "\ud800"], max_tokens: 5 }, 400);
  assertEquals(first.code, "context_length_exceeded");
  const many = await small.refused({ prompt: new Array(5000).fill("") }, 400);
  assertStringIncludes(many.message!, "5000 prompts");
  const other = await small.refused({ model: "gpt-4" }, 404);
  assertEquals([other.code, other.param], ["model_not_found", "model"]);
  assertEquals((await small.load()).running, 0);
});

Deno.test("fields that ask for nothing are taken", async () => {
  await using small = await openSmall();
  const neutral = {
    ...{ presence_penalty: 0, frequency_penalty: 0, logit_bias: {}, suffix: null, best_of: 1 },
    ...{ user: "u", logprobs: null, stop: null, seed: null, stream: false, model: null },
  };
  assertEquals((await small.complete({ ...neutral, max_tokens: 2 })).choices.length, 1);
});

Deno.test("malformed and huge bodies are refused", async () => {
  await using small = await openSmall();
  const send = (body: BodyInit, headers: HeadersInit = {}) =>
    small.send("/v1/completions", { method: "POST", body, headers });
  const error = async (response: Response) => [
    response.status,
    (await response.json()).error.code,
  ];
  assertEquals(await error(await send('{"prompt": "x"')), [400, "invalid_json"]);
  assertEquals(await error(await send("")), [400, "invalid_json"]);
  assertEquals(await error(await send(Uint8Array.of(0x22, 0xff, 0x22))), [400, "invalid_json"]);
  const large = JSON.stringify({ prompt: "x".repeat(30_000) });
  assertEquals(await error(await send(large)), [413, "body_too_large"]);
  let sent = 0;
  const endless = new ReadableStream({
    pull: (controller) => {
      sent += 1000;
      controller.enqueue(new Uint8Array(1000).fill(32));
    },
  });
  assertEquals(await error(await send(endless)), [413, "body_too_large"]);
  assert(sent < 30_000, `${sent} bytes were read`);
  const claimed = await send("{}", { "content-length": "999999" });
  assertEquals(await error(claimed), [413, "body_too_large"]);
});

Deno.test("a body that stops halfway is refused in time, and its stream let go", async () => {
  await using small = await openSmall({ bodySeconds: 0.05 });
  let isLetGo = false;
  const stalled = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode('{"prompt": ')),
    cancel: () => {
      isLetGo = true;
    },
  });
  for (const path of ["/v1/completions", "/v1/routing"]) {
    const body = path === "/v1/completions" ? stalled : new ReadableStream();
    const response = await small.send(path, { method: "POST", body });
    assertEquals([response.status, response.headers.get("connection")], [408, "close"]);
    const { error } = await response.json();
    assertEquals([error.code, error.type], ["body_too_slow", "invalid_request_error"]);
  }
  assert(isLetGo);
});

Deno.test("unknown addresses, wrong methods and foreign pages are refused", async () => {
  await using small = await openSmall();
  assertEquals((await small.send("/v1/chat/completions", { method: "POST" })).status, 404);
  assertEquals((await small.send("/constructor")).status, 404);
  const wrong = await small.send("/v1/completions");
  assertEquals([wrong.status, wrong.headers.get("allow")], [405, "POST"]);
  assertEquals((await wrong.json()).error.code, "method_not_allowed");
  const from = (origin: string) => small.send("/health", { headers: { origin } });
  assertEquals((await from("http://evil.example")).status, 403);
  assertEquals((await from("null")).status, 403);
  assertEquals((await from("http://localhost")).status, 200);
  const page = await small.send("/");
  assertEquals(await page.text(), "<p>page</p>");
  assertMatch(page.headers.get("content-security-policy")!, /default-src 'none'/);
});

/** Begins endless texts; returns their answers. */
function occupy(small: Small, count: number): Promise<Response>[] {
  const body = { prompt: "x", max_tokens: 60, temperature: 0, stream: true };
  return Array.from({ length: count }, () => small.post("/v1/completions", body));
}

Deno.test("a full queue is said to be full", async () => {
  await using small = await openSmall({ rows: 2, queue: 3 });
  const running = await Promise.all(occupy(small, 5));
  const error = await small.refused({ prompt: "y" }, 429);
  assertEquals([error.code, error.type], ["queue_full", "rate_limit_error"]);
  assertEquals((await small.post("/v1/completions", {})).headers.get("retry-after"), "1");
  const { running: rows, waiting } = await small.load();
  assertEquals(Number(rows) + Number(waiting), 5);
  for (const response of running) assertMatch(await response.text(), /\[DONE\]\n\n$/);
  assertEquals(await small.load(), { status: "ok", running: 0, waiting: 0, rows: 2, queue: 3 });
});

Deno.test("a client that leaves frees its row at once, or its place in the queue", async () => {
  await using small = await openSmall({ rows: 1, queue: 3 });
  const [first, second] = await Promise.all(occupy(small, 2));
  const leaving = new AbortController();
  const body = { prompt: "y", max_tokens: 40 };
  const third = small.post("/v1/completions", body, { signal: leaving.signal });
  const reader = first!.body!.getReader();
  await reader.read();
  assertEquals([(await small.load()).running, (await small.load()).waiting], [1, 2]);
  leaving.abort();
  assertEquals((await third).status, 499);
  assertEquals((await small.load()).waiting, 1);
  await second!.body!.cancel();
  assertEquals((await small.load()).waiting, 0);
  await reader.cancel();
  assertEquals((await small.load()).running, 0);
  assertEquals((await small.complete({ prompt: "z", max_tokens: 3 })).usage.completion_tokens, 3);
});

Deno.test("a long prompt is read in parts, between which other texts grow", async () => {
  await using small = await openSmall({ chunk: 4, rows: 2 });
  const [stream] = await Promise.all(occupy(small, 1));
  const reader = stream!.body!.getReader();
  await reader.read();
  let grown = 0;
  const reading = small.complete({ prompt: "z".repeat(41), max_tokens: 1 });
  let isRead = false;
  reading.then(() => isRead = true);
  while (!isRead) {
    await reader.read();
    grown++;
  }
  assert(grown >= 9 && grown <= 16, `${grown} tokens`);
  await reader.cancel();
  await reading;
});

Deno.test("a stopping server finishes what it has begun and refuses the rest", async () => {
  await using small = await openSmall({ rows: 1 });
  const running = await Promise.all(occupy(small, 2));
  const stopped = small.handler.stop();
  const error = await small.refused({ prompt: "y" }, 503);
  assertEquals([error.code, error.type], ["stopping", "server_error"]);
  const health = await small.send("/health");
  assertEquals([health.status, (await health.json()).status], [503, "stopping"]);
  for (const response of running) {
    const text = await response.text();
    assertEquals(text.match(/"text"/g)!.length, 60);
    assertMatch(text, /"finish_reason":"length"/);
  }
  await stopped;
});

Deno.test("logits that are no numbers fail a request, and the next one is served", async () => {
  await using small = await openSmall();
  const norm = [...small.model.parameters()].find(({ name }) => name === "model.norm.weight")!;
  const fill = (value: number) => upload(unwrapped(norm), new Float32Array(32).fill(value));
  fill(NaN);
  const error = await small.refused({ prompt: "abc", n: 2 }, 500);
  assertMatch(error.message!, /the logit of token 0 is NaN/);
  const scored = await small.refused({ prompt: "abc", echo: true, logprobs: 1 }, 500);
  assertMatch(scored.message!, /log-probability is NaN/);
  const events = await (await small.post("/v1/completions", { prompt: "a", stream: true })).text();
  assertMatch(events, /^data: \{"error":\{"message":.*"server_error".*\n\ndata: \[DONE\]\n\n$/);
  fill(1);
  assertEquals((await small.complete({ prompt: "abc", n: 4 })).choices.length, 4);
  assertEquals((await small.load()).running, 0);
});

Deno.test("routers that look ahead or route whole prompts are refused by name", () => {
  const refuse = (router: "expert-choice" | "lory", ...words: string[]) => {
    const { message } = assertThrows(() => requireServable({ router }), ConfigError);
    for (const word of words) assert(message.includes(word), message);
  };
  refuse("expert-choice", "Cannot serve with the router expert-choice", "the tokens after it");
  refuse("lory", "Cannot serve with the router lory", "a prompt as a whole");
  for (const router of ["relu", "topk", "dense", "hash"] as const) requireServable({ router });
});

Deno.test("memory on the device does not grow with requests", async () => {
  await using small = await openSmall();
  const { device } = small;
  await small.complete({ prompt: "warm", n: 4, echo: true, logprobs: 1 });
  const before = device.statistics().inUse;
  for (let i = 0; i < 5; i++) {
    await small.complete({ prompt: ["a", "longer"], n: 2, echo: i % 2 === 0, logprobs: i });
  }
  assertEquals(device.statistics().inUse, before);
});

Deno.test("`/v1/routing` gives each token's experts, layer by layer", async () => {
  await using small = await openSmall();
  const { experts, tokens, layers } =
    await (await small.post("/v1/routing", { prompt: [72, 105, 0xe2, 0x82, 0xac] })).json();
  assertEquals(tokens.map(({ text }: { text: string }) => text), ["H", "i", "€", "", ""]);
  assertEquals([layers.length, layers[0].length], [2, 5]);
  for (const token of layers.flat()) {
    for (const [expert, gate] of token) assert(expert >= 0 && expert < experts && gate > 0);
  }
  assert(layers.flat(2).length > 0);
  const bad = await small.post("/v1/routing", { prompt: ["a", "b"] });
  assertEquals([bad.status, (await bad.json()).error.param], [400, "prompt"]);
  assertEquals((await small.post("/v1/routing", { prompt: "a", layer: 1 })).status, 400);
  assertEquals((await small.post("/v1/routing", { prompt: "a".repeat(65) })).status, 400);
  await using dense = await openSmall({}, { moe: { router: "dense" } });
  const none = await dense.post("/v1/routing", { prompt: "a" });
  assertEquals([none.status, (await none.json()).error.code], [400, "not_routed"]);
});

Deno.test("a cache that does not fit into memory is refused in one message", async () => {
  await using small = await openSmall();
  const limits = { ...LIMITS, rows: 1, context: 2 ** 31 - 1 };
  const { device, opened } = small;
  const error = assertThrows(
    () => new Handler({ device, opened, name: "x", limits, page: "" }),
    DeviceError,
  );
  assertMatch(error.message, /^Cannot serve: there is no memory for 1 texts of up to 2147483647/);
});
