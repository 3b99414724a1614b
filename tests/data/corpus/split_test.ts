import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";

import { DataError } from "../../../lib/data/errors.ts";
import type { Document } from "../../../lib/data/text/document.ts";
import { splitDocuments } from "../../../lib/data/corpus/split.ts";
import { ConfigError } from "../../../lib/errors.ts";

function numbered(count: number): Document[] {
  return Array.from({ length: count }, (_, i) => ({ id: `${i}`, text: `Document ${i}.` }));
}

const joined = (documents: readonly Document[]) => documents.map(({ text }) => text).join("");

Deno.test("`splitDocuments()` keeps about the requested fraction, in the given order", () => {
  const { train, validation } = splitDocuments(numbered(4000), 0.1);
  assertEquals(train.length + validation.length, 4000);
  // Binomial: 400 with a deviation of 19.
  assert(Math.abs(validation.length - 400) < 5 * 19, `${validation.length}`);
  for (const side of [train, validation]) {
    assertEquals(side, side.toSorted((a, b) => Number(a.id) - Number(b.id)));
  }
});

Deno.test("`splitDocuments()` chooses only by the text", () => {
  const ids = ({ validation }: ReturnType<typeof splitDocuments>) =>
    validation.map(({ text }) => text).toSorted();
  const documents = numbered(200);
  const before = ids(splitDocuments(documents, 0.1));
  const renamed = documents.map(({ text }) => ({ id: "x", text }));
  assertEquals(ids(splitDocuments(renamed.toReversed(), 0.1)), before);
  const more = ids(splitDocuments(numbered(400), 0.1));
  assertEquals(before.filter((text) => !more.includes(text)), []);
});

Deno.test("`splitDocuments()` keeps copies of a text on one side", () => {
  const documents = numbered(300);
  const { train, validation } = splitDocuments([...documents, ...documents], 0.2);
  const held = new Set(validation.map(({ text }) => text));
  assertEquals(train.filter(({ text }) => held.has(text)), []);
});

Deno.test("`splitDocuments()` leaves no side empty, loses no text and cuts no character", () => {
  const texts = fc.array(fc.string({ unit: "binary", minLength: 2 }), { minLength: 1 });
  const fractions = fc.double({ min: 0.01, max: 0.5, noNaN: true });
  fc.assert(fc.property(texts, fractions, (texts, fraction) => {
    const documents = texts.filter((text) => [...text].length > 1)
      .map((text, i) => ({ id: `${i}`, text }));
    fc.pre(documents.length > 0);
    const { train, validation } = splitDocuments(documents, fraction);
    assert(joined(train) !== "" && joined(validation) !== "");
    assert([...train, ...validation].every(({ text }) => text.isWellFormed()));
    const parts = documents.map(({ id }) =>
      joined([...train, ...validation].filter((d) => d.id === id))
    );
    assertEquals(parts, documents.map(({ text }) => text));
  }));
});

Deno.test("`splitDocuments()` cuts a single text at a paragraph, else a line, else a word", () => {
  const tail = (text: string) => splitDocuments([{ id: "a", text }], 0.1).validation[0]?.text;
  const sentence = "Some words in a row";
  assertEquals(tail(`${sentence.repeat(9)}\n\nA tail\nof lines in it`), "A tail\nof lines in it");
  assertEquals(tail(`${sentence.repeat(9)}\nA tail of just a line`), "A tail of just a line");
  assertEquals(tail(`${"x".repeat(90)} ${"y".repeat(11)}`), "y".repeat(11));
  assertEquals(tail("x".repeat(100)), "x".repeat(10));
  assertEquals(tail("😀".repeat(101)), "😀".repeat(11));
  // From just above a third, the cut falls inside the first character.
  for (const text of ["😀x", "𐀀\0"]) {
    const { train, validation } = splitDocuments([{ id: "a", text }], 0.34);
    assertEquals([train[0]?.text, validation[0]?.text], [text.slice(0, 2), text.slice(2)]);
  }
});

Deno.test("`splitDocuments()` never holds out nearly all of the text", () => {
  const many = numbered(200).map(({ id, text }) => ({ id, text: text.repeat(100) }));
  const drawn = splitDocuments(many).validation[0];
  assert(drawn !== undefined && many.includes(drawn));
  const { train, validation } = splitDocuments([drawn, { id: "short", text: "A short one." }]);
  assertEquals([train.length, validation.length], [2, 1]);
  assert(joined(validation).length < 0.1 * joined(train).length);
});

Deno.test("`splitDocuments()` refuses fractions out of range", () => {
  for (const fraction of [0, -0.1, 0.51, NaN]) {
    assertThrows(() => splitDocuments(numbered(3), fraction), ConfigError, "at most 0.5");
  }
});

Deno.test("`splitDocuments()` refuses texts that cannot be split", () => {
  assertThrows(() => splitDocuments([]), DataError, "no documents");
  assertThrows(() => splitDocuments([{ id: "a", text: "😀" }]), DataError, "single character");
});

Deno.test("`splitDocuments()` cuts copies of the longest document the same way, and keeps its domain", () => {
  const text = "One line.\nAnother line.\n".repeat(20);
  const copies = [1, 2].map((i) => ({ id: `${i}`, text, domain: "d" }));
  const { train, validation } = splitDocuments(copies, 0.1);
  assertEquals([train.length, validation.length], [2, 2]);
  assertEquals(train[0]!.text + validation[0]!.text, text);
  assertEquals([train[1]!.text, validation[1]!.text], [train[0]!.text, validation[0]!.text]);
  assertEquals([...train, ...validation].map(({ domain }) => domain), ["d", "d", "d", "d"]);
});
