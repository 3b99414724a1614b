import { assert, assertEquals, assertRejects } from "@std/assert";
import { download } from "@denosaurs/plug/download";

Deno.test("`download()` caches by URL", async () => {
  await using setting = await serve("first");
  const { url, location } = setting;
  const path = await quietly(() => download({ url: `${url}a.so?x=1`, location }));
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("/a.so?x=1"));
  const name = new Uint8Array(hash).toHex();
  const port = new URL(url).port;
  assertEquals(path, `${location}/http/localhost_PORT${port}/${name}.so`);
  assertEquals(Deno.readTextFileSync(path), "first");
  const metadata = JSON.parse(Deno.readTextFileSync(path.replace(/\.so$/, ".metadata.json")));
  assertEquals(metadata, { url: `${url}a.so?x=1` });

  setting.answer("second");
  await download({ url: `${url}a.so?x=1`, location });
  assertEquals(Deno.readTextFileSync(path), "first", "what is cached is used");
  await quietly(() => download({ url: `${url}a.so?x=1`, location, cache: "reloadAll" }));
  assertEquals(Deno.readTextFileSync(path), "second");
});

Deno.test("`download()` uses only the cache on request", async () => {
  await using setting = await serve("content");
  const { url, location } = setting;
  await assertRejects(() => download({ url: `${url}a.so`, location, cache: "only" }));
});

Deno.test({
  name: "`download()` fails where the server does",
  sanitizeResources: false, // the original leaves the response body unread
  async fn() {
    await using setting = await serve("gone", 404);
    const { url, location } = setting;
    await assertRejects(() => quietly(() => download({ url: `${url}a.so`, location })));
  },
});

Deno.test("`download()` copies files", async () => {
  await using setting = await serve("");
  const source = `${setting.location}/source.so`;
  Deno.writeTextFileSync(source, "local");
  const { location } = setting;
  const path = await quietly(() => download({ url: new URL(`file://${source}`), location }));
  assert(path !== source);
  assertEquals(Deno.readTextFileSync(path), "local");
});

interface Setting extends AsyncDisposable {
  readonly url: string;
  readonly location: string;
  answer(text: string): void;
}

/** A web server with one response, and a cache directory. */
function serve(text: string, status = 200): Setting {
  const location = Deno.makeTempDirSync({ prefix: "plug" });
  const server = Deno.serve({ port: 0, onListen() {} }, () => new Response(text, { status }));
  return {
    url: `http://localhost:${server.addr.port}/`,
    location,
    answer: (next) => void (text = next),
    [Symbol.asyncDispose]: async () => {
      await server.shutdown();
      Deno.removeSync(location, { recursive: true });
    },
  };
}

/** plug prints what it downloads. */
async function quietly<T>(run: () => Promise<T>): Promise<T> {
  const log = console.log;
  console.log = () => {};
  try {
    return await run();
  } finally {
    console.log = log;
  }
}
