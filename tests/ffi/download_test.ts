import { assert, assertEquals, assertRejects } from "@std/assert";
import { download as plugDownload } from "@denosaurs/plug/download";
import { LibraryError } from "../../lib/errors.ts";
import { downloadVerified } from "../../lib/ffi/download.ts";
import type { Download, ReleaseFile } from "../../lib/ffi/mod.ts";

const CONTENT = new TextEncoder().encode("a kernel library");

/** A web server with a sequence of responses, and a cache to download into. */
async function withServer(
  answers: readonly Uint8Array<ArrayBuffer>[],
  run: (file: ReleaseFile, download: Download, requests: () => number) => Promise<void>,
): Promise<void> {
  const cache = Deno.makeTempDirSync({ prefix: "remoe_cache" });
  let requests = 0;
  const server = Deno.serve({ port: 0, onListen() {} }, () => {
    const answer = answers[Math.min(requests++, answers.length - 1)];
    return new Response(answer ?? null);
  });
  const file: ReleaseFile = {
    backend: "cpu",
    os: "linux",
    arch: "x86_64",
    url: `http://localhost:${server.addr.port}/libremoe_cpu.so`,
    sha256: new Uint8Array(await crypto.subtle.digest("SHA-256", CONTENT)).toHex(),
  };
  const log = console.log;
  console.log = () => {}; // plug prints what it downloads
  try {
    await run(file, (options) => plugDownload({ ...options, location: cache }), () => requests);
  } finally {
    console.log = log;
    await server.shutdown();
    Deno.removeSync(cache, { recursive: true });
  }
}

Deno.test("`downloadVerified()` downloads once and then uses the cache", async () => {
  await withServer([CONTENT], async (file, download, requests) => {
    const path = await downloadVerified(file, download);
    assertEquals(Deno.readFileSync(path), CONTENT);
    assertEquals(await downloadVerified(file, download), path);
    assertEquals(requests(), 1);
  });
});

Deno.test("`downloadVerified()` replaces a truncated download", async () => {
  await withServer([CONTENT.slice(0, 5), CONTENT], async (file, download, requests) => {
    const path = await downloadVerified(file, download);
    assertEquals(Deno.readFileSync(path), CONTENT);
    assertEquals(requests(), 2);
  });
});

Deno.test("`downloadVerified()` refuses and removes a file that differs from the release", async () => {
  await withServer([new TextEncoder().encode("something else")], async (file, download) => {
    let cached = "";
    const watched: Download = async (options) => cached = await download(options);
    const error = await assertRejects(() => downloadVerified(file, watched), LibraryError);
    assert(error.message.includes(file.sha256) && error.message.includes(file.url));
    await assertRejects(() => Deno.stat(cached), Deno.errors.NotFound);
  });
});
