/** Tokenizers from a `tokenizer.json` against the Python package, whose answers are fixtures. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DataError, openTokenizer, TextStream } from "../../../lib/data/mod.ts";
import { describeTokenizerFile } from "../../../lib/data/tokenizer/tokenizer_file.ts";
import { ConfigError } from "../../../lib/errors.ts";

const FIXTURES = new URL("../../interchange/fixtures/tokenizers", import.meta.url).pathname;

interface Case {
  readonly text: string;
  readonly ids: readonly number[];
  readonly decoded: string;
}

const FILES = { byte_level: [0, null], byte_fallback: [2, 1] } as const;

async function open(name: keyof typeof FILES) {
  const [end_of_document, begin_of_document] = FILES[name];
  const path = `${FIXTURES}/${name}.json`;
  const file = describeTokenizerFile(path, { end_of_document, begin_of_document });
  return await openTokenizer("file", file);
}

for (const name of Object.keys(FILES) as (keyof typeof FILES)[]) {
  Deno.test(`a ${name} tokenizer encodes and decodes as Python's`, async () => {
    const tokenizer = await open(name);
    const cases: Case[] = JSON.parse(Deno.readTextFileSync(`${FIXTURES}/${name}.expected.json`));
    for (const { text, ids, decoded } of cases) {
      assertEquals([...tokenizer.encode(text)], ids, JSON.stringify(text));
      assertEquals(tokenizer.decode(ids), decoded);
      const bytes = tokenizer.bytesOf(ids);
      assertEquals(bytes.length, tokenizer.byteLength(ids));
      const pieces = ids.map((id) => [...tokenizer.bytesOf([id])]).flat();
      assertEquals(pieces, [...bytes], "a token's bytes do not depend on those before it");
    }
  });

  Deno.test(`a ${name} tokenizer streams characters whole`, async () => {
    const tokenizer = await open(name);
    const stream = new TextStream(tokenizer);
    const pieces = [...tokenizer.encode("a 🙂 é")].map((id) => stream.push(id));
    assertEquals((pieces.join("") + stream.end()).trimStart(), "a 🙂 é");
    assertEquals(pieces.some((piece) => piece.includes("\ufffd")), false);
  });
}

Deno.test("a text that spells out a special token is text", async () => {
  for (const name of ["byte_level", "byte_fallback"] as const) {
    const tokenizer = await open(name);
    const text = name === "byte_level" ? "a<|end|>b" : "a</s>b<s>";
    const ids = [...tokenizer.encode(text)];
    assertEquals(ids.includes(tokenizer.endOfDocument), false);
    assertEquals(tokenizer.decode(ids), text);
  }
});

Deno.test("the space before a document is dropped where a document begins", async () => {
  const tokenizer = await open("byte_fallback");
  const { endOfDocument: end } = tokenizer;
  const [a, b] = ["one", "two"].map((text) => [...tokenizer.encode(text)]);
  const ids = [...a!, end, tokenizer.beginOfDocument!, ...b!];
  assertEquals(tokenizer.decode(ids, { endOfDocument: "|" }), "one|two");
  // The first token may continue a document: its space is kept.
  assertEquals(new TextDecoder().decode(tokenizer.bytesOf(ids)), " onetwo");
  assertEquals(tokenizer.byteLength(ids), 7);
});

Deno.test("an id outside the vocabulary is shown as U+FFFD", async () => {
  const tokenizer = await open("byte_level");
  assertEquals(tokenizer.decode([tokenizer.vocabularySize]), "\ufffd");
});

Deno.test("a changed or unusable file is refused", async () => {
  const ends = { end_of_document: 0, begin_of_document: null };
  const folder = await Deno.makeTempDir();
  const path = `${folder}/tokenizer.json`;
  const json = JSON.parse(Deno.readTextFileSync(`${FIXTURES}/byte_level.json`));
  const write = (value: unknown) => Deno.writeTextFileSync(path, JSON.stringify(value));
  write(json);
  const file = describeTokenizerFile(path, ends);
  write({ ...json, decoder: null });
  await assertRejects(() => openTokenizer("file", file), DataError, "has changed");
  const { sha256 } = describeTokenizerFile(path, ends);
  await assertRejects(
    () => openTokenizer("file", { ...file, sha256 }),
    DataError,
    "its decoder is absent",
  );
  await assertRejects(() => openTokenizer("file"), ConfigError, "tokenizer_file");
  assertThrows(
    () => describeTokenizerFile(path, { ...ends, end_of_document: 999 }),
    DataError,
    "end_of_document is 999",
  );
  for (
    const [change, words] of [
      [{ model: { type: "Unigram", vocab: [] } }, "its model is Unigram"],
      [{ model: { type: "BPE", vocab: { a: -1 } } }, "its model.vocab"],
      [{ added_tokens: [{}] }, "its added_tokens"],
      [{ model: null }, "it has no model"],
    ] as const
  ) {
    write({ ...json, ...change });
    assertThrows(() => describeTokenizerFile(path, ends), DataError, words);
  }
  Deno.writeTextFileSync(path, "{");
  assertThrows(() => describeTokenizerFile(path, ends), DataError, "not JSON");
  await Deno.remove(folder, { recursive: true });
});
