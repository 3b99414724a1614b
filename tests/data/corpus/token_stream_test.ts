import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";

import { DataError } from "../../../lib/data/errors.ts";
import {
  fileStream,
  joinStreams,
  memoryStream,
  readAllTokens,
} from "../../../lib/data/corpus/token_stream.ts";

const counting = (length: number) => Uint16Array.from({ length }, (_, i) => i);

Deno.test("in-memory, file and joined streams read the same at any position", async () => {
  const path = await Deno.makeTempFile();
  const tokens = counting(1000);
  await Deno.writeFile(path, new Uint8Array(tokens.buffer));
  const inFile = (offset: number, tokens: number) => fileStream({ path, offset, tokens }, 1000);
  const files = joinStreams([inFile(0, 300), inFile(600, 1), inFile(602, 699)]);
  const joined = joinStreams([
    memoryStream(tokens.subarray(0, 10)),
    inFile(20, 500),
    memoryStream(tokens.subarray(510)),
  ]);
  fc.assert(fc.property(fc.nat(999), fc.integer({ min: 1, max: 1000 }), (start, count) => {
    const expected = Int32Array.from(tokens.subarray(start, start + count));
    for (const stream of [files, joined]) {
      assertEquals(stream.length, 1000);
      const target = new Int32Array(expected.length);
      stream.read(start, target);
      assertEquals(target, expected);
    }
  }));
  await Deno.remove(path);
});

Deno.test("a stream of four-byte tokens reads four bytes per token", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeFile(path, new Uint8Array(Uint32Array.of(1, 70_000, 3).buffer));
  const stream = fileStream({ path, offset: 4, tokens: 2 }, 100_000);
  assertEquals(readAllTokens(stream, 100_000), Uint32Array.of(70_000, 3));
  await Deno.remove(path);
});

Deno.test("a truncated file is named", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeFile(path, new Uint8Array(10));
  const stream = fileStream({ path, offset: 0, tokens: 6 }, 1000);
  assertThrows(() => stream.read(0, new Int32Array(6)), DataError, path);
  await Deno.remove(path);
});
