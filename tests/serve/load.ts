/**
 * Loads a server: rounds of many requests at once, a tenth of which leave before their answer.
 *
 *     deno run -A tests/serve/load.ts RUN [ROUNDS] [REQUESTS] [FLAGS of serve]
 *
 * Prints a line per round, and fails if an answer is missing or a row stays in use. Answers are
 * compared with those of the first round: all are seeded, and only rounding, which depends on what else
 * is in a batch, may make one draw another token. Memory is the process's, from /proc; elsewhere than
 * on Linux it is not shown.
 *
 * @module
 */

import { median } from "../../lib/median.ts";
import { ROOT } from "../exports/deno_command.ts";

/** What a request got: its answer's text, or null if it left. */
interface Outcome {
  readonly text: string | null;
  readonly tokens: number;
  readonly milliseconds: number;
}

const [run, rounds = "5", requests = "100", ...flags] = Deno.args;
if (run === undefined) throw new Error("Which run? deno run -A tests/serve/load.ts RUN");
const child = new Deno.Command(Deno.execPath(), {
  args: ["run", "-A", `${ROOT}cli/serve.ts`, run, "--port", "0", ...flags],
  stdout: "piped",
  stderr: "inherit",
}).spawn();
const { value = "" } = await child.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
const url = /(http:\S+)/.exec(value)![1]!;
console.log(`${requests} requests at once, ${rounds} rounds, ${url}`);
const texts = new Map<number, string>();
try {
  for (let round = 1; round <= Number(rounds); round++) await runRound(round);
} finally {
  child.kill("SIGTERM");
  console.log(`stopped with code ${(await child.status).code}`);
}

async function runRound(round: number): Promise<void> {
  const started = performance.now();
  const probe = probeHealth();
  const all = await Promise.all(Array.from({ length: Number(requests) }, (_, i) => ask(i)));
  const seconds = (performance.now() - started) / 1000;
  const slowest = await probe.stop();
  const answered = all.filter(({ text }) => text !== null);
  let different = 0;
  for (const [i, { text }] of all.entries()) {
    if (text === null) continue;
    if (!texts.has(i)) texts.set(i, text);
    if (text !== texts.get(i)) different++;
  }
  const tokens = answered.reduce((sum, each) => sum + each.tokens, 0);
  const { running, waiting } = await (await fetch(`${url}/health`)).json();
  if (running + waiting > 0) throw new Error(`${running} texts still grow, ${waiting} wait`);
  const times = answered.map(({ milliseconds }) => milliseconds);
  console.log(
    `round ${round}: ${answered.length} answered, ${all.length - answered.length} left, ` +
      `${different} differ, ` +
      `${tokens} tokens in ${seconds.toFixed(1)} s, ${(tokens / seconds).toFixed(0)} tokens/s; ` +
      `answers after ${(median(times)! / 1000).toFixed(1)} s (median), ` +
      `${(Math.max(...times) / 1000).toFixed(1)} s (last); health within ${
        slowest.toFixed(0)
      } ms; ` +
      `memory ${memory()}`,
  );
}

/** Every tenth request leaves, every second one streams; lengths differ. */
async function ask(i: number): Promise<Outcome> {
  const started = performance.now();
  const leaving = new AbortController();
  const isLeaving = i % 10 === 9;
  if (isLeaving) setTimeout(() => leaving.abort(), 300 + 10 * i);
  const body = {
    prompt: "The people of the world and their ".repeat(1 + i % 4).trim(),
    max_tokens: isLeaving ? 120 : 20 + (7 * i) % 60,
    seed: i,
    stream: i % 2 === 0 || isLeaving,
  };
  try {
    const response = await fetch(`${url}/v1/completions`, {
      method: "POST",
      body: JSON.stringify(body),
      signal: leaving.signal,
    });
    if (!response.ok) throw new Error(`Request ${i}: ${await response.text()}`);
    const text = body.stream ? streamed(await response.text()) : await whole(response);
    if (isLeaving) return { text: null, tokens: 0, milliseconds: 0 };
    return { text, tokens: body.max_tokens, milliseconds: performance.now() - started };
  } catch (error) {
    if (!leaving.signal.aborted) throw error;
    return { text: null, tokens: 0, milliseconds: 0 };
  }
}

async function whole(response: Response): Promise<string> {
  return (await response.json()).choices[0].text;
}

function streamed(events: string): string {
  const messages = events.trimEnd().split("\n\n").map((event) => event.slice("data: ".length));
  if (messages.pop() !== "[DONE]") throw new Error("A stream has no end");
  return messages.map((message) => JSON.parse(message).choices[0].text).join("");
}

/** Asks for the server's health all the time, and remembers the longest wait. */
function probeHealth(): { stop(): Promise<number> } {
  let isOn = true;
  let longest = 0;
  const probing = (async () => {
    while (isOn) {
      const started = performance.now();
      await (await fetch(`${url}/health`)).body?.cancel();
      longest = Math.max(longest, performance.now() - started);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  return {
    async stop() {
      isOn = false;
      await probing;
      return longest;
    },
  };
}

function memory(): string {
  try {
    const status = Deno.readTextFileSync(`/proc/${child.pid}/status`);
    return `${(Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024).toFixed(0)} MiB`;
  } catch {
    return "unknown";
  }
}
