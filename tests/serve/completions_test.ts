/** The answers of `/v1/completions`. */
import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { read } from "../../mod.ts";
import { GrowingText } from "../../lib/generate/growing_text.ts";
import { generate } from "../../lib/generate/mod.ts";
import { type AnswerChoice, appendChoice } from "../../lib/serve/completion_answer.ts";
import { openSmall, type Small, tokenizer } from "./small_server.ts";

Deno.test("answers have OpenAI's form", async () => {
  await using small = await openSmall();
  const answer = await small.complete({
    model: "small",
    prompt: "Once",
    max_tokens: 5,
    user: "me",
  });
  assertMatch(answer.id, /^cmpl-/);
  assertEquals([answer.object, answer.model], ["text_completion", "small"]);
  const [choice] = answer.choices;
  assertEquals(Object.keys(choice!).toSorted(), ["finish_reason", "index", "logprobs", "text"]);
  assertEquals([choice!.index, choice!.logprobs, choice!.finish_reason], [0, null, "length"]);
  assertEquals(answer.usage, { prompt_tokens: 4, completion_tokens: 5, total_tokens: 9 });
  const models = await (await small.send("/v1/models")).json();
  assertEquals([models.object, models.data.length], ["list", 1]);
  assertEquals([models.data[0].id, models.data[0].object], ["small", "model"]);
  assertEquals(await (await small.send("/v1/models/small")).json(), models.data[0]);
  assertEquals(await small.load(), { status: "ok", running: 0, waiting: 0, rows: 4, queue: 8 });
});

Deno.test("a prompt is a text, a list of texts, tokens or a list of those; nothing precedes it", async () => {
  await using small = await openSmall();
  const settings = { max_tokens: 6, temperature: 0 };
  const texts = ["One", "Another", ""];
  const ids = texts.map((text) => text === "" ? [256] : Array.from(tokenizer.encode(text)));
  const alone = await Promise.all(
    texts.map(async (prompt) => (await small.complete({ prompt, ...settings })).choices[0]!.text),
  );
  for (const prompt of [texts, ids]) {
    const { choices, usage } = await small.complete({ prompt, ...settings });
    assertEquals(choices.map(({ index, text }) => [index, text]), [...alone.entries()]);
    assertEquals(usage.prompt_tokens, 11);
  }
  const { choices } = await small.complete({ prompt: ids[1], ...settings });
  assertEquals(choices.map(({ text }) => text), [alone[1]!]);
  assertEquals((await small.complete(settings)).choices[0]!.text, alone[2]!);
  for (const [i, prompt] of ids.entries()) {
    assertEquals(alone[i], tokenizer.decode(await greedy(small, prompt, 6)));
  }
});

/** Greedy tokens by the training forward pass over the whole text. */
async function greedy(
  { device, model }: Awaited<ReturnType<typeof openSmall>>,
  prompt: readonly number[],
  count: number,
): Promise<number[]> {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) {
    using _scope = device.noGradient();
    const logits = await read(model.logits(device.tokens(tokens), tokens.length));
    const last = logits.slice(-model.vocabulary).subarray(0, 257);
    tokens.push(last.indexOf(Math.max(...last)));
    if (tokens.at(-1) === 256) break;
  }
  return tokens.slice(prompt.length);
}

Deno.test("a seeded text is the one that `generate()` draws", async () => {
  await using small = await openSmall();
  const draws = { temperature: 0.9, seed: 11 };
  let text = "";
  const options = { ...small.opened, device: small.device, tokens: 20, topP: 0.8, ...draws };
  for await (const piece of generate(["Tale"], options)) text += piece.text;
  const prompt = [256, ...tokenizer.encode("Tale")];
  const { choices } = await small.complete({ prompt, max_tokens: 20, top_p: 0.8, ...draws });
  assertEquals(choices[0]!.text, text);
});

/** ln p of each next token, from the training forward pass: per place, of every token. */
async function logProbabilities(
  { device, model }: Awaited<ReturnType<typeof openSmall>>,
  tokens: readonly number[],
): Promise<number[][]> {
  using _scope = device.noGradient();
  const logits = await read(model.logits(device.tokens(tokens), tokens.length));
  return tokens.map((_, i) => {
    const row = Array.from(logits.subarray(i * 260, (i + 1) * 260));
    const sum = row.reduce((all, logit) => all + Math.exp(logit), 0);
    return row.map((logit) => logit - Math.log(sum));
  });
}

for (const logprobs of [0, 1, 3]) {
  Deno.test(`echo has n + 1 entries, scored as in training (logprobs ${logprobs})`, async () => {
    await using small = await openSmall();
    const prompts = [[72, 105, 256, 200, 33, 7], [65], Array.from({ length: 40 }, (_, i) => 3 * i)];
    const settings = { max_tokens: 1, temperature: 0, echo: true, logprobs };
    const { choices } = await small.complete({
      prompt: prompts,
      ...settings,
      return_token_ids: true,
    });
    for (const [i, tokens] of prompts.entries()) {
      const { logprobs: scores, text, token_ids: drawn } = choices[i]!;
      const { token_logprobs, top_logprobs, tokens: names, text_offset } = scores!;
      const all = [...tokens, ...drawn!];
      assertEquals(drawn!.length, 1);
      const lengths = [token_logprobs, top_logprobs, names, text_offset].map((list) => list.length);
      assertEquals(lengths, Array(4).fill(tokens.length + 1));
      assertEquals([token_logprobs[0], top_logprobs[0]], [null, null]);
      assertEquals(text, tokenizer.decode(all));
      const expected = await logProbabilities(small, all);
      for (let at = 1; at < all.length; at++) {
        const own = expected[at - 1]!;
        assertAlmostEquals(token_logprobs[at]!, own[all[at]!]!, 1e-4);
        const top = Object.values(top_logprobs[at]!).toSorted((a, b) => b - a);
        const best = own.toSorted((a, b) => b - a);
        if (logprobs === 0) assertEquals(top, [token_logprobs[at]]);
        const listed = own[all[at]!]! >= best[logprobs - 1]! - 1e-6 ? logprobs : logprobs + 1;
        assertEquals(top.length, Math.max(1, listed));
        for (let k = 0; k < logprobs; k++) assertAlmostEquals(top[k]!, best[k]!, 1e-4);
        // Clients tell a greedy token by the identical number.
        assertEquals(top_logprobs[at]![names[at]!], token_logprobs[at]);
        if (logprobs > 0) {
          const isGreedy = own[all[at]!]! === Math.max(...own);
          assertEquals(token_logprobs[at] === Math.max(...top), isGreedy);
        }
      }
    }
  });
}

Deno.test("the entry after an echo is there even if it ends the document", async () => {
  await using small = await openSmall();
  const body = { prompt: [[1, 2, 3]], max_tokens: 1, echo: true, logprobs: 1, temperature: 100 };
  const [choice] = (await small.complete({ ...body, seed: endingSeed() })).choices;
  assertEquals(choice!.finish_reason, "stop");
  assertEquals(choice!.logprobs!.tokens.length, 4);
  assertEquals(choice!.logprobs!.tokens[3], "<|endoftext|>");
  assert(choice!.logprobs!.token_logprobs[3]! < 0);
  assertEquals(choice!.text, "\x01\x02\x03");
});

/** A seed that ends a document at once where all tokens are about equally likely. */
function endingSeed(): number {
  const logits = new Float32Array(257);
  logits[256] = -1;
  for (let seed = 0;; seed++) {
    if (new GrowingText({ tokenizer, seed }).draw(logits) === 256) return seed;
  }
}

Deno.test("echo without new tokens scores the prompt alone", async () => {
  await using small = await openSmall();
  const body = { prompt: "Score", max_tokens: 0, echo: true };
  const { choices: [scored], usage } = await small.complete({ ...body, logprobs: 1, n: 2 });
  assertEquals([scored!.text, scored!.finish_reason], ["Score", "length"]);
  assertEquals(scored!.logprobs!.token_logprobs.length, 5);
  assertEquals(usage, { prompt_tokens: 5, completion_tokens: 0, total_tokens: 5 });
  const one = (await small.complete({ ...body, max_tokens: 1, logprobs: 1 })).choices[0]!;
  assertEquals(scored!.logprobs!.token_logprobs, one.logprobs!.token_logprobs.slice(0, 5));
  const [plain] = (await small.complete(body)).choices;
  assertEquals([plain!.text, plain!.logprobs], ["Score", null]);
  assertEquals((await small.complete({ max_tokens: 0 })).choices[0]!.text, "");
});

Deno.test("a stream's pieces add up to the whole answer", async () => {
  await using small = await openSmall();
  const body = {
    ...{ prompt: ["Two", "texts"], n: 2, max_tokens: 14, seed: 5, echo: true, logprobs: 2 },
    ...{ temperature: 1.3, stop: ["a", "\ufffd\ufffd"], return_token_ids: true },
  };
  const whole = await small.complete(body);
  const events = await small.stream({ ...body, stream_options: { include_usage: true } });
  const last = events.pop()!;
  assertEquals([last.choices, last.usage], [[], whole.usage]);
  const choices: AnswerChoice[] = [];
  for (const { choices: [piece], id, usage } of events) {
    assertEquals([id, usage], [events[0]!.id, null as never]);
    const { index } = piece!;
    if (choices[index] === undefined) choices[index] = piece!;
    else appendChoice(choices[index], piece!);
  }
  assertEquals(choices, [...whole.choices]);
  assert(events.length > 12, `${events.length} events`);
});

Deno.test("n texts of a prompt differ, and each depends on the seed and its number alone", async () => {
  await using small = await openSmall();
  const body = { prompt: "Begin", max_tokens: 10, seed: 3 };
  const texts = async (more: object) =>
    (await small.complete({ ...body, ...more })).choices.map(({ text }) => text);
  const three = await texts({ n: 3, best_of: 3 });
  assertEquals(new Set(three).size, 3);
  assertEquals(await texts({}), three.slice(0, 1));
  assertEquals((await texts({ prompt: ["Else", "Begin"], n: 3 })).slice(3), three);
  // All of them continue the whole prompt, although it was read once.
  const [greedy, ...others] = await texts({ n: 3, temperature: 0 });
  assertEquals(others, [greedy, greedy]);
  assertEquals(await texts({ temperature: 0 }), [greedy]);
  const free = await small.complete({ ...body, seed: null, prompt: ["Begin", "Begin"] });
  assert(free.choices[0]!.text !== free.choices[1]!.text);
});

Deno.test("texts do not depend on what else is in the batch, nor on when it came", async () => {
  await using small = await openSmall({ chunk: 5 });
  const bodies = Array.from({ length: 11 }, (_, i) => ({
    prompt: "Any beginning of some length".slice(0, 3 + 2 * i),
    max_tokens: 4 + (7 * i) % 12,
    ...(i % 3 === 0 ? { temperature: 0 } : { seed: i, temperature: 1.1, top_p: 0.95 }),
  }));
  const alone: string[] = [];
  for (const body of bodies) alone.push((await small.complete(body)).choices[0]!.text);
  const together = bodies.map(async (body, i) => {
    await new Promise((resolve) => setTimeout(resolve, 3 * i));
    return (await small.complete(body)).choices[0]!.text;
  });
  assertEquals(await Promise.all(together), alone);
  assertEquals((await small.load()).running, 0);
});

/** A stop string that spans several tokens of a text. */
async function stopOf(small: Small, body: object): Promise<[text: string, stop: string]> {
  const { text } = (await small.complete(body)).choices[0]!;
  return [text, text.slice(6, 9)];
}

Deno.test("a stop string ends a text, its tokens included, however they split it", async () => {
  await using small = await openSmall();
  const body = { prompt: "So", max_tokens: 30, seed: 2, logprobs: 0, temperature: 0.7 };
  const [text, stop] = await stopOf(small, body);
  const [choice] = (await small.complete({ ...body, stop: ["\n\n\n\n", stop] })).choices;
  assertEquals([choice!.text, choice!.finish_reason], [text.slice(0, text.indexOf(stop)), "stop"]);
  const { text_offset: offsets } = choice!.logprobs!;
  assert(offsets.length > 0 && offsets.every((offset) => offset < [...choice!.text].length));
});

Deno.test("tokens that are no whole characters are named by their bytes, padding by its number", async () => {
  await using small = await openSmall();
  const prompt = [0xe2, 0x82, 0xac, 65, 256, 258];
  const body = { prompt, max_tokens: 1, echo: true, logprobs: 0, temperature: 0 };
  const [choice] = (await small.complete(body)).choices;
  assertEquals(choice!.logprobs!.tokens.slice(0, 6), [
    ...["bytes:\\xe2", "bytes:\\x82", "bytes:\\xac", "A"],
    ...["<|endoftext|>", "token_id:258"],
  ]);
  assertEquals(choice!.logprobs!.text_offset.slice(0, 5), [0, 0, 0, 1, 2]);
  assertEquals(choice!.logprobs!.text_offset[6], [...tokenizer.decode(prompt)].length);
  assert(choice!.text.startsWith("€A"));
});
