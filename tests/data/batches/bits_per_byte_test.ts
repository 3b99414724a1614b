import { assertAlmostEquals, assertThrows } from "@std/assert";

import { bitsPerByte } from "../../../lib/data/batches/bits_per_byte.ts";
import { ByteTokenizer } from "../../../lib/data/tokenizer/byte_tokenizer.ts";

Deno.test("`bitsPerByte()` is 8 for a uniform guess among 256 bytes", () => {
  assertAlmostEquals(bitsPerByte(10 * Math.log(256), 10), 8, 1e-12);
});

Deno.test("`bitsPerByte()` spreads the loss of end-of-document targets over the text's bytes", () => {
  const targets = [0x61, 0x62, 256, 0x63, 256];
  const bytes = new ByteTokenizer().byteLength(targets);
  assertAlmostEquals(bitsPerByte(targets.length * Math.LN2, bytes), 5 / 3, 1e-12);
});

Deno.test("`bitsPerByte()` refuses a text without bytes", () => {
  assertThrows(() => bitsPerByte(1, 0), RangeError, "at least one");
  assertThrows(() => bitsPerByte(1, NaN), RangeError);
});
