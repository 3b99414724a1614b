import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { basename, join } from "node:path";

import { DataError } from "../../../lib/data/errors.ts";
import { textFiles } from "../../../lib/data/text/text_files.ts";

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

async function compress(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const COMPRESSED = await compress("Some text that is worth compressing. ".repeat(50));

async function read(...paths: string[]): Promise<[id: string, text: string][]> {
  const documents = await Array.fromAsync(textFiles(paths).documents());
  return documents.map(({ id, text }) => [id, text]);
}

Deno.test("`textFiles()` reads a file as one document", async () => {
  await inFolder({ "a.txt": "Line 1.\r\nLine 2.\n" }, async (folder) => {
    assertEquals(await read(join(folder, "a.txt")), [["a.txt", "Line 1.\r\nLine 2.\n"]]);
  });
});

Deno.test("`textFiles()` reads a folder recursively, in path order", async () => {
  const files = { "c/b.txt": "2", "c/a/z.TXT": "1", "c/é.txt": "4", "c/c.txt": "3" };
  await inFolder(files, async (folder) => {
    const expected = [["c/a/z.TXT", "1"], ["c/b.txt", "2"], ["c/c.txt", "3"], ["c/é.txt", "4"]];
    assertEquals(await read(join(folder, "c")), expected as [string, string][]);
    assertEquals(await read(join(folder, "c") + "/"), expected as [string, string][]);
  });
});

Deno.test("`textFiles()` skips hidden, empty and other files in a folder", async () => {
  const files = { "c/a.txt": "a", "c/.b.txt": "b", "c/.git/c.txt": "c", "c/d.md": "d" };
  await inFolder({ ...files, "c/e.txt": "" }, async (folder) => {
    assertEquals(await read(join(folder, "c")), [["c/a.txt", "a"]]);
  });
});

Deno.test("`textFiles()` reads several paths in order, and each file once", async () => {
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
    "rows.csv": "a,b",
    "row.jsonl": '{"text": "a"}\n{"texts": "b"}\n',
    "list.jsonl": "\n[1]\n",
    "broken.jsonl": '{"text": "a"}\n\n{"text": "b"\n',
    "domain.jsonl": '{"text": "a", "domain": 1}\n',
    "blank.jsonl": '\n\n{"text": ""}\n',
    "cut.txt.gz": COMPRESSED.subarray(0, COMPRESSED.length - 9),
    "flipped.txt.gz": COMPRESSED.map((byte, i) => i === 12 ? byte ^ 0xff : byte),
    "plain.txt.gz": "not compressed",
    "none/a.md": "a",
  };
  const reasons = {
    "missing.txt": "there is no such file or folder",
    "empty.txt": "the file is empty",
    "mark.txt": "holds no text",
    "zero.txt": "byte 1 is NUL",
    "latin.txt": "it is not UTF-8",
    "rows.csv": "files named *.txt",
    "row.jsonl": "line 2 of",
    "list.jsonl": "it is not an object",
    "broken.jsonl": "line 3 of",
    "domain.jsonl": "its field domain is not a text",
    "blank.jsonl": "none of its lines holds text",
    "cut.txt.gz": "gzip data is damaged or cut off",
    "flipped.txt.gz": "gzip data is damaged or cut off",
    "plain.txt.gz": "gzip data is damaged or cut off",
    "none": "no file with text",
    "none/*.txt": "matches it",
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

Deno.test("`textFiles()` refuses an empty list", () => {
  assertThrows(() => textFiles([]), DataError, "no file or folder");
});

async function domains(...paths: string[]): Promise<[domain: string | undefined, text: string][]> {
  const documents = await Array.fromAsync(textFiles(paths).documents());
  return documents.map(({ domain, text }) => [domain, text]);
}

Deno.test("`textFiles()` refuses rows that UTF-8 cannot encode, and names the line", async () => {
  const files = {
    "text.jsonl": '{"text": "whole \\ud83e\\udd8a"}\n\n{"text": "half \\ud800 x"}\n',
    "domain.jsonl": '{"text": "a"}\n{"text": "b", "domain": "\\udc00"}\n',
  };
  await inFolder(files, async (folder) => {
    const text = `Cannot read line 3 of ${folder}/text.jsonl: its field text is not well-formed: ` +
      "character 5 is half a surrogate pair";
    await assertRejects(() => read(`${folder}/text.jsonl`), DataError, text);
    const domain =
      `Cannot read line 2 of ${folder}/domain.jsonl: its field domain is not well-formed`;
    await assertRejects(() => read(`${folder}/domain.jsonl`), DataError, domain);
  });
});

Deno.test("`textFiles()` does not guess whether a name is a file or domain=file", async () => {
  const files = { "a=good.txt": "one", "good.txt": "two", "b=other.txt": "three" };
  await inFolder(files, async (folder) => {
    const before = Deno.cwd();
    Deno.chdir(folder);
    try {
      const error = await assertRejects(() => read("a=good.txt"), DataError);
      assert(error.message.includes("./a=good.txt"), error.message);
      assert(error.message.includes("a=./good.txt"), error.message);
      assertEquals(await read("./a=good.txt"), [["a=good.txt", "one"]]);
      assertEquals(await read("a=./good.txt"), [["good.txt", "two"]]);
      await assertRejects(() => read("b=other.txt"), DataError, "./b=other.txt");
    } finally {
      Deno.chdir(before);
    }
  });
});

Deno.test("`textFiles()` reads one document per line, and each row's domain", async () => {
  const rows = ['{"text":"é\\n1"}', "", '{"text":"2","domain":"news","id":7}', '{"text":""}'];
  await inFolder({ "c/a.jsonl": rows.join("\r\n") }, async (folder) => {
    assertEquals(await read(join(folder, "c")), [["c/a.jsonl:1", "é\n1"], ["c/a.jsonl:3", "2"]]);
    assertEquals(await domains(join(folder, "c")), [["c", "é\n1"], ["news", "2"]]);
  });
});

Deno.test("`textFiles()` reads compressed files like others, whatever the chunk size", async () => {
  const texts = Array.from({ length: 3000 }, (_, i) => `Zeile ${i} – ${"ü€🦊".repeat(i % 40)}`);
  const lines = texts.map((text) => JSON.stringify({ text })).join("\n");
  const files = { "a.jsonl.gz": await compress(lines), "b.txt.gz": COMPRESSED };
  await inFolder(files, async (folder) => {
    const found = (await read(join(folder, "a.jsonl.gz"))).map(([, text]) => text);
    assertEquals(found, texts);
    assert((await read(join(folder, "b.txt.gz")))[0]![1].startsWith("Some text"));
  });
});

Deno.test("`textFiles()` names domains after folders, or as told", async () => {
  const files = { "t/books/x/a.txt": "a", "t/code/b.txt": "b", "t/c.txt": "c" };
  await inFolder(files, async (folder) => {
    const root = join(folder, "t");
    assertEquals(await domains(root), [["books", "a"], ["t", "c"], ["code", "b"]]);
    assertEquals(await domains(join(root, "code/b.txt")), [["code", "b"]]);
    assertEquals(await domains(`tales=${root}/books`, `${root}/c.txt`), [["tales", "a"], [
      "t",
      "c",
    ]]);
  });
});

Deno.test("`textFiles()` reads a pattern's matches in order", async () => {
  const files = { "z/t.txt": "z", "a/t.txt": "a", "a/u.md": "u", "b/t.txt": "" };
  await inFolder(files, async (folder) => {
    assertEquals(await read(join(folder, "*/*")), [["a/t.txt", "a"], ["z/t.txt", "z"]]);
    assertEquals(await domains(`all=${folder}/*/t.txt`), [["all", "a"], ["all", "z"]]);
  });
});

Deno.test("`textFiles().identify()` changes with names, domains and contents, not with times", async () => {
  await inFolder({ "a.txt": "a", "b.txt": "b" }, async (folder) => {
    const identify = (...paths: string[]) =>
      textFiles(paths.map((path) => path.replace(/[^=]+$/, (name) => join(folder, name))))
        .identify!();
    const first = await identify("a.txt", "b.txt");
    assertNotEquals(await identify("b.txt", "a.txt"), first);
    assertNotEquals(await identify("x=a.txt", "b.txt"), first);
    await Deno.utime(join(folder, "a.txt"), 1, 1);
    assertEquals(await identify("a.txt", "b.txt"), first);
    await Deno.writeTextFile(join(folder, "a.txt"), "c");
    await Deno.utime(join(folder, "a.txt"), 1, 1);
    assertNotEquals(await identify("a.txt", "b.txt"), first);
  });
});

/** Reads all documents and notices. */
async function observed(...paths: string[]) {
  const [skipped, identities] = [[] as string[], [] as string[]];
  const source = textFiles(paths);
  const documents = await Array.fromAsync(source.documents({
    passedOver: ({ kind, path, reason }) => skipped.push(`${kind} ${basename(path)}: ${reason}`),
    identified: (identity) => identities.push(identity),
  }));
  assertEquals(identities, [await source.identify!()]);
  return { texts: documents.map(({ text }) => text), skipped };
}

Deno.test({
  name: "`textFiles()` passes over what has no text in folders and patterns, and says so",
  ignore: Deno.build.os === "windows",
  async fn() {
    const files = {
      "c/bom.txt": "\ufeff",
      "c/blank.jsonl": '\n{"text":""}\n',
      "c/empty.txt": "",
      "c/nothing.txt.gz": await compress(""),
      "c/text.txt": "text",
      "c/x.txt/inner.txt": "inner",
    };
    await inFolder(files, async (folder) => {
      await Deno.symlink("gone", join(folder, "c/dangling.txt"));
      await Deno.symlink("loop.txt", join(folder, "c/loop.txt"));
      await new Deno.Command("mkfifo", { args: [join(folder, "c/pipe.txt")] }).output();
      const skipped = [
        "file blank.jsonl: none of its lines holds text",
        "file bom.txt: the file holds no text",
        "file dangling.txt: it leads to no file",
        "file empty.txt: the file is empty",
        "file loop.txt: it leads to no file",
        "file nothing.txt.gz: the file holds no text",
        "file pipe.txt: it is not a regular file",
      ];
      const inFolder = await observed(join(folder, "c"));
      assertEquals(inFolder.skipped.toSorted(), skipped);
      assertEquals(inFolder.texts, ["text", "inner"]);
      const byPattern = await observed(join(folder, "c/*"));
      assertEquals(byPattern.skipped.toSorted(), skipped);
      assertEquals(byPattern.texts, ["text"]);
      await Deno.remove(join(folder, "c/text.txt"));
      await assertRejects(() => read(join(folder, "c/*")), DataError, "matches it");
    });
  },
});

Deno.test("`textFiles()` reads gzip like zcat: members, zeros and trailing data", async () => {
  const [one, two, none] = [await compress("one\n"), await compress("two\n"), await compress("")];
  const flags = Uint8Array.of(
    ...[0x1f, 0x8b, 8, 2 | 4 | 8 | 16, 0, 0, 0, 0, 0, 3, 2, 0, 7, 7, 0x6e, 0, 0x63, 0, 9, 9],
    ...one.subarray(10),
  );
  const text = (...parts: Uint8Array[]) => {
    const whole = new Uint8Array(parts.flatMap((part) => [...part]));
    return { "a.txt.gz": whole };
  };
  const cases: [Record<string, Uint8Array>, string, string[]][] = [
    [text(one, two), "one\ntwo\n", []],
    [text(none, one, none, two, none), "one\ntwo\n", []],
    [text(flags, one), "one\none\n", []],
    [text(one, two, new Uint8Array(700)), "one\ntwo\n", []],
    [text(one, new Uint8Array(5), two), "one\n", ["trailing-bytes"]],
    [text(one, two, Uint8Array.of(0x1f)), "one\ntwo\n", ["trailing-bytes"]],
    [text(one, Uint8Array.from("more", (c) => c.charCodeAt(0))), "one\n", ["trailing-bytes"]],
  ];
  for (const [files, expected, kinds] of cases) {
    await inFolder(files, async (folder) => {
      const { texts, skipped } = await observed(join(folder, "a.txt.gz"));
      assertEquals(texts, [expected]);
      assertEquals(skipped.map((each) => each.split(" ")[0]), kinds);
    });
  }
  const damaged = [
    text(one, two.subarray(0, -1)),
    text(one, two.subarray(0, 6)),
    text(one, two.map((byte, i) => i === two.length - 8 ? byte ^ 1 : byte)),
    text(one, two.map((byte, i) => i === two.length - 1 ? byte ^ 1 : byte)),
    text(one, two.map((byte, i) => i === 2 ? 9 : byte)),
  ];
  for (const files of damaged) {
    await inFolder(files, async (folder) => {
      await assertRejects(() => read(join(folder, "a.txt.gz")), DataError, "damaged or cut off");
    });
  }
});

Deno.test("`textFiles()` reads members of any length, wherever the chunks end", async () => {
  const lines = Array.from({ length: 40_000 }, (_, i) => `${i * 7919 % 104729}\n`).join("");
  const members = [];
  for (let at = 0, size = 1; at < lines.length; at += size, size = size * 3 % 70_001) {
    members.push(await compress(lines.slice(at, at + size)));
  }
  const whole = new Uint8Array(await new Blob(members).arrayBuffer());
  assert(whole.length > 2 ** 16);
  await inFolder({ "a.txt.gz": whole }, async (folder) => {
    assertEquals((await observed(join(folder, "a.txt.gz"))).texts.join(""), lines);
  });
});
