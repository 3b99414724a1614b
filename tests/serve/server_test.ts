/** A server behind a real socket, and the command. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { ConfigError } from "../../lib/errors.ts";
import { Server } from "../../lib/serve/server.ts";
import { ROOT, runDeno } from "../exports/deno_command.ts";
import { CPU_LIBRARY } from "../kernels/open_library.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { assertRefused, runServe, runTrain, writeText } from "../cli/refusal.ts";
import { LIMITS, openSmall } from "./small_server.ts";

/** A server whose texts take a while. */
async function listen() {
  const small = await openSmall();
  const limits = { ...LIMITS, context: 4096, rows: 2 };
  const { device, opened } = small;
  const options = { device, opened, name: "small", limits, page: "" };
  const server = new Server({ ...options, host: "127.0.0.1", port: 0 });
  const load = async (): Promise<number> =>
    (await (await fetch(`${server.url}/health`)).json()).running;
  return {
    server,
    options,
    complete: (body: object, signal?: AbortSignal) =>
      fetch(`${server.url}/v1/completions`, {
        method: "POST",
        body: JSON.stringify({ prompt: "x", max_tokens: 4000, temperature: 0, ...body }),
        ...(signal === undefined ? {} : { signal }),
      }),
    /** Waits until so many texts are growing; the server answers in the meantime. */
    async until(count: number) {
      while (await load() !== count) await new Promise((resolve) => setTimeout(resolve, 5));
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await small[Symbol.asyncDispose]();
    },
  };
}

for (const stream of [false, true]) {
  Deno.test(`a connection that is cut frees its row (${stream ? "stream" : "whole"})`, async () => {
    await using served = await listen();
    const leaving = new AbortController();
    const answer = served.complete({ stream }, leaving.signal);
    const body = answer.then((response) => response.text());
    await served.until(1);
    const started = performance.now();
    leaving.abort();
    await assertRejects(() => body, DOMException);
    await served.until(0);
    const seconds = (performance.now() - started) / 1000;
    assert(seconds < 2, `${seconds} s`);
  });
}

Deno.test("a server that is stopped delivers what it has begun", async () => {
  await using served = await listen();
  const answer = await served.complete({ max_tokens: 60, stream: true });
  const stopped = served.server.stop();
  const refused = await served.complete({});
  assertEquals([refused.status, (await refused.json()).error.code], [503, "stopping"]);
  const text = await answer.text();
  assertEquals(text.match(/"text"/g)!.length, 60);
  assertMatch(text, /\[DONE\]/);
  await stopped;
  await assertRejects(() => fetch(served.server.url), TypeError);
});

Deno.test("a server that is stopped cuts off clients that never finish their requests", async () => {
  await using served = await listen();
  const { hostname, port } = new URL(served.server.url);
  using client = await Deno.connect({ hostname, port: Number(port) });
  const head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
  await client.write(new TextEncoder().encode(head));
  await (await served.complete({ max_tokens: 1 })).text();
  await served.server.stop(100);
  assertEquals(await client.read(new Uint8Array(1)).catch(() => null), null);
  await assertRejects(() => fetch(served.server.url), TypeError);
});

Deno.test("an address in use is refused in one message", async () => {
  await using served = await listen();
  const port = Number(new URL(served.server.url).port);
  const { message } = assertThrows(
    () => new Server({ ...served.options, host: "127.0.0.1", port }),
    ConfigError,
  );
  assertMatch(
    message,
    new RegExp(`^Cannot listen at 127.0.0.1, port ${port}: .* --port, 0 for any`),
  );
});

/** The command of docs/permissions.md, with exactly the permissions it grants. */
async function documentedCommand(): Promise<string[]> {
  const page = await Deno.readTextFile(`${ROOT}docs/permissions.md`);
  const line = /^deno (run .* cli\/serve\.ts .*)$/m.exec(page)![1]!;
  const [run, ...rest] = line.replace("LIBRARY", CPU_LIBRARY).split(" ");
  const program = rest.map((word) => word.replace(/^cli\//, `${ROOT}cli/`));
  return [run!, "--no-prompt", "--config", `${ROOT}deno.json`, ...program];
}

/** A child process of the command, once it listens. */
async function startCommand(folder: string, args: string[]) {
  const child = new Deno.Command(Deno.execPath(), {
    args,
    cwd: folder,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const said = new Response(child.stderr).text();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await lines.read();
  const url = /^Listening at (\S+)\n$/.exec(value)?.[1];
  if (url === undefined) throw new Error(`${value}\n${await said}`);
  return { child, url, said, lines };
}

Deno.test("the command serves a run until it is told to stop, and names what it cannot use", async () => {
  using folder = new TemporaryFolder();
  const text = writeText(folder.path);
  const trained = await runTrain(folder.path, [`--data=${text}`, "--out=mine"]);
  assertEquals(trained.code, 0, trained.stderr);
  const args = await documentedCommand();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const { child, url, said, lines } = await startCommand(folder.path, args);
    const response = await fetch(`${url}/v1/completions`, {
      method: "POST",
      body: JSON.stringify({ model: "mine", prompt: "Line", max_tokens: 20, stream: true }),
    });
    child.kill(signal);
    assertMatch(await response.text(), /\[DONE\]/);
    assertEquals((await lines.read()).done, true);
    assertEquals((await child.status).code, 0, await said);
    assertMatch(
      await said,
      /^Model {7}mine, router relu, step 3\nRoom .*\nFinishing what has begun/,
    );
  }
  const { code, stderr } = await runDeno(
    folder.path,
    ...args.filter((arg) => !arg.startsWith("--allow-net")),
  );
  assertEquals(code, 1);
  assertMatch(stderr, /^error: Cannot serve without permission: add --allow-net=127\.0\.0\.1 /);
  const BAD = [
    [[], "Which model?"],
    [["mine", "other"], "2 runs at once"],
    [["mine", "--port", "65536"], "--port is 65536"],
    [["mine", "--rows", "0"], "--rows is 0"],
    [["mine", "--context", "1"], "--context is 1"],
    [["mine", "--queue", "-1"], "--queue is -1"],
    [["mine", "--chunk", "0"], "--chunk is 0"],
    [["mine", "--threads", "0"], "--threads is 0"],
    [["mine", "--device", "tpu"], "--device is tpu"],
    [["mine", "--dtype", "f16"], "--dtype is f16"],
    [["mine", "--hots", "::1"], "did you mean --host?"],
    [["mine", "--host", "no.such.host.invalid"], "Cannot listen at no.such.host.invalid"],
    [["gone"], "gone", "no such folder"],
    [["text"], "config.json is missing"],
  ] as const;
  for (const [args, ...words] of BAD) {
    assertRefused(await runServe(folder.path, args), ...words);
  }
});
