import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";

import { DataError } from "../../../lib/data/errors.ts";
import { ValidationSet } from "../../../lib/data/batches/validation_set.ts";

const counting = (length: number) => Uint16Array.from({ length }, (_, i) => i);

Deno.test("`ValidationSet` covers all of the text unless told otherwise", () => {
  const set = new ValidationSet(counting(105), { sequence: 10, batch: 4 });
  assertEquals(set.rows, 10);
  const targets = [...set].flatMap((batch) => [...batch.targets]);
  assertEquals(targets, Array.from({ length: 100 }, (_, i) => i + 1));
});

Deno.test("`ValidationSet` is the same each time", () => {
  const set = new ValidationSet(counting(500), { sequence: 10, batch: 4, rows: 9 });
  assertEquals([...set], [...set]);
});

Deno.test("`ValidationSet` spreads distinct rows evenly over the text", () => {
  const sizes = fc.record({
    windows: fc.integer({ min: 1, max: 100 }),
    batch: fc.integer({ min: 1, max: 9 }),
    rows: fc.integer({ min: 1, max: 120 }),
  });
  fc.assert(fc.property(sizes, ({ windows, batch, rows }) => {
    const set = new ValidationSet(counting(windows * 3 + 1), { sequence: 3, batch, rows });
    const batches = [...set];
    const starts = batches.flatMap(({ rows, tokens }) =>
      Array.from({ length: rows }, (_, row) => tokens[row * 3]! / 3)
    );
    assertEquals(set.rows, Math.min(rows, windows));
    assertEquals(starts.length, set.rows);
    assertEquals(starts[0], 0);
    const gaps = starts.map((start, i) => (starts[i + 1] ?? windows) - start);
    assert(Math.min(...gaps) >= 1 && Math.max(...gaps) - Math.min(...gaps) <= 1);
    assert(batches.slice(0, -1).every((each) => each.rows === batch));
  }));
});

Deno.test("`ValidationSet` names both lengths when the text is too short", () => {
  const options = { sequence: 256, batch: 16 };
  const error = assertThrows(() => new ValidationSet(counting(100), options), DataError);
  assert(/validation text.*257 tokens and there are 100/.test(error.message), error.message);
});

Deno.test("`ValidationSet` refuses sizes out of range", () => {
  for (const sizes of [{ batch: 0 }, { rows: 0 }, { rows: NaN }, { sequence: 0 }]) {
    const options = { sequence: 2, batch: 2, ...sizes };
    assertThrows(() => new ValidationSet(counting(9), options), RangeError);
  }
});
