import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";

import { DataError } from "../../lib/data/errors.ts";
import { textFiles } from "../../lib/data/text_files.ts";

/** Runs a test in a folder with the given files, and removes it. */
async function inFolder(
  files: Record<string, string | Uint8Array>,
  test: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      const path = join(folder, name);
      await Deno.mkdir(join(path, ".."), { recursive: true });
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      await Deno.writeFile(path, bytes);
    }
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function read(...paths: string[]): Promise<[id: string, text: string][]> {
  const documents = await Array.fromAsync(textFiles(paths).documents());
  return documents.map(({ id, text }) => [id, text]);
}

Deno.test("`textFiles()` reads a file as one document", async () => {
  await inFolder({ "a.txt": "Line 1.\r\nLine 2.\n" }, async (folder) => {
    assertEquals(await read(join(folder, "a.txt")), [["a.txt", "Line 1.\r\nLine 2.\n"]]);
  });
});

Deno.test("`textFiles()` reads a folder recursively, in the order of the paths", async () => {
  const files = { "c/b.txt": "2", "c/a/z.TXT": "1", "c/é.txt": "4", "c/c.txt": "3" };
  await inFolder(files, async (folder) => {
    const expected = [["c/a/z.TXT", "1"], ["c/b.txt", "2"], ["c/c.txt", "3"], ["c/é.txt", "4"]];
    assertEquals(await read(join(folder, "c")), expected as [string, string][]);
    assertEquals(await read(join(folder, "c") + "/"), expected as [string, string][]);
  });
});

Deno.test("`textFiles()` passes over hidden, empty and other files in a folder", async () => {
  const files = { "c/a.txt": "a", "c/.b.txt": "b", "c/.git/c.txt": "c", "c/d.md": "d" };
  await inFolder({ ...files, "c/e.txt": "" }, async (folder) => {
    assertEquals(await read(join(folder, "c")), [["c/a.txt", "a"]]);
  });
});

Deno.test("`textFiles()` reads several paths in their order, and each file once", async () => {
  await inFolder({ "a.txt": "a", "b/b.txt": "b", "b/c.txt": "c" }, async (folder) => {
    const paths = ["b/c.txt", "b", "a.txt", "./b/../a.txt"].map((path) => join(folder, path));
    assertEquals((await read(...paths)).map(([, text]) => text), ["c", "b", "a"]);
  });
});

Deno.test({
  name: "`textFiles()` follows links to files but not to folders",
  ignore: Deno.build.os === "windows",
  async fn() {
    await inFolder({ "a.txt": "a", "c/b.txt": "b" }, async (folder) => {
      await Deno.symlink(join(folder, "a.txt"), join(folder, "c/a.txt"));
      await Deno.symlink(join(folder, "c"), join(folder, "c/loop"));
      assertEquals(await read(join(folder, "c")), [["c/a.txt", "a"], ["c/b.txt", "b"]]);
    });
  },
});

Deno.test("`textFiles()` drops a byte-order mark", async () => {
  await inFolder({ "a.txt": "\ufeffa" }, async (folder) => {
    assertEquals(await read(join(folder, "a.txt")), [["a.txt", "a"]]);
  });
});

Deno.test("`textFiles()` says what is wrong with a path", async () => {
  const files = {
    "empty.txt": "",
    "mark.txt": "\ufeff",
    "zero.txt": Uint8Array.of(0x61, 0, 0x62),
    "latin.txt": Uint8Array.of(0x61, 0xe9, 0x62),
    "rows.jsonl": "{}",
    "none/a.md": "a",
  };
  const reasons = {
    "missing.txt": "there is no such file or folder",
    "empty.txt": "the file is empty",
    "mark.txt": "holds no text",
    "zero.txt": "byte 1 is NUL",
    "latin.txt": "it is not UTF-8",
    "rows.jsonl": "files named *.txt",
    "none": "no file with text",
  };
  await inFolder(files, async (folder) => {
    for (const [name, reason] of Object.entries(reasons)) {
      const path = join(folder, name);
      const error = await assertRejects(() => read(path), DataError, reason);
      assert(error.message.includes(path), `${error.message} names ${path}`);
    }
  });
});

Deno.test({
  name: "`textFiles()` names the permission that Deno lacks",
  permissions: { read: false },
  async fn() {
    const error = await assertRejects(() => read("a.txt"), DataError, "--allow-read");
    assert(error.cause instanceof Deno.errors.NotCapable);
  },
});

Deno.test("`textFiles()` refuses to read nothing", () => {
  assertThrows(() => textFiles([]), DataError, "no file or folder");
});
