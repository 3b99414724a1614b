import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { crc32c, maskedCrc32c } from "../../../lib/run/tensorboard/crc32c.ts";
import {
  double,
  doubles,
  float,
  integer,
  message,
  readVarint,
  string,
} from "../../../lib/run/tensorboard/protobuf.ts";
import { encodeRecord, recordsOf } from "../../../lib/run/tensorboard/record.ts";
import { TemporaryFolder } from "../../temporary_folder.ts";
import { decode, readRecords, slowCrc32c } from "./read_events.ts";

Deno.test("`crc32c()` gives the values of RFC 3720 and of the CRC catalogue", () => {
  const bytes = (at: (index: number) => number): Uint8Array =>
    Uint8Array.from({ length: 32 }, (_, index) => at(index));
  assertEquals(crc32c(bytes(() => 0)), 0x8a9136aa);
  assertEquals(crc32c(bytes(() => 0xff)), 0x62a8ab43);
  assertEquals(crc32c(bytes((index) => index)), 0x46dd794e);
  assertEquals(crc32c(bytes((index) => 31 - index)), 0x113fdb5c);
  assertEquals(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
  assertEquals(crc32c(new Uint8Array(0)), 0);
});

Deno.test("`crc32c()` matches its polynomial for any bytes", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => crc32c(bytes) === slowCrc32c(bytes)));
});

Deno.test("`encodeRecord()` writes the same bytes as TensorFlow", () => {
  // The record of an empty string, as written by TensorBoard's RecordWriter.
  const empty = [0, 0, 0, 0, 0, 0, 0, 0, 0x29, 0x03, 0x98, 0x07, 0xd8, 0xea, 0x82, 0xa2];
  assertEquals([...encodeRecord(new Uint8Array(0))], empty);
  assertEquals(maskedCrc32c(new Uint8Array(0)), 0xa282ead8);
});

Deno.test("records are read back complete, and a torn last one is skipped", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/records`;
  const data = [3, 0, 300].map((length) => new Uint8Array(length).fill(length % 251));
  const bytes = Uint8Array.from(data.flatMap((it) => [...encodeRecord(it)]));
  assertEquals(readRecords(bytes), data);
  const found = (cut: number): number[][] => {
    Deno.writeFileSync(path, bytes.subarray(0, bytes.length - cut));
    using file = Deno.openSync(path);
    return Array.from(recordsOf(file, 2), ({ offset, next, beginning }) => [
      offset,
      next,
      beginning.length,
    ]);
  };
  const whole = [[0, 19, 2], [19, 35, 0], [35, 351, 2]];
  assertEquals(found(0), whole);
  for (const cut of [1, 4, 305, 315]) assertEquals(found(cut), whole.slice(0, 2));
  assertEquals(found(bytes.length), []);
});

Deno.test("protobuf fields decode to what was encoded", () => {
  const anything = fc.record({
    field: fc.integer({ min: 1, max: 2000 }),
    whole: fc.maxSafeNat(),
    number: fc.double(),
    list: fc.array(fc.double()),
    text: fc.string({ unit: "binary" }),
  });
  fc.assert(fc.property(anything, ({ field, whole, number, list, text }) => {
    const one = (encoded: readonly number[]): number | Uint8Array =>
      decode(Uint8Array.from(encoded)).get(field)![0]!;
    assertEquals(one(integer(field, whole)), whole);
    assertEquals(one(double(field, number)), number);
    assertEquals(one(float(field, number)), Math.fround(number));
    const packed = one(doubles(field, list)) as Uint8Array;
    assertEquals([...new Float64Array(packed.slice().buffer)], list);
    assertEquals(new TextDecoder().decode(one(string(field, text)) as Uint8Array), text);
    const outer = decode(Uint8Array.from(message(field, integer(1, whole), string(2, text))));
    assertEquals(decode(outer.get(field)![0] as Uint8Array).get(1), [whole]);
    assertEquals(readVarint(Uint8Array.from(integer(1, whole)), 1), whole);
  }));
});

Deno.test("protobuf fields have the bytes of the specification's examples", () => {
  assertEquals([...integer(1, 150)], [0x08, 0x96, 0x01]);
  assertEquals([...string(2, "testing")], [0x12, 0x07, ...new TextEncoder().encode("testing")]);
  assertEquals([...message(3, integer(1, 150))], [0x1a, 0x03, 0x08, 0x96, 0x01]);
  assertEquals(readVarint(Uint8Array.of(0x80), 0), NaN);
});
