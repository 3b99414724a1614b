import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  Attention,
  type Device,
  type Parameter,
  read,
  ShapeMismatchError,
  write,
} from "../../mod.ts";
import { assertClose } from "../autograd/gradient_check.ts";
import { openDevice } from "../tensor/open_device.ts";
import { attend } from "./language_model_reference.ts";

const [HIDDEN, HEADS, SEQUENCE, BATCH] = [24, 4, 10, 3] as const;
const ROWS = BATCH * SEQUENCE;

function makeLayer(device: Device, groups: number): Attention {
  return new Attention(device, { hidden: HIDDEN, heads: HEADS, groups, deviation: 0.5 });
}

for (const groups of [1, 2, 4]) {
  Deno.test(`Attention matches its definition: ${HEADS} heads in ${groups} groups`, async () => {
    using device = await openDevice({ seed: 1 });
    const options = { hidden: HIDDEN, heads: HEADS, groups, deviation: 0.5, ropeBase: 50 };
    using layer = new Attention(device, { ...options, name: "layer.self_attn" });
    using _scope = device.scope();
    const x = device.normal([ROWS, HIDDEN]);
    const weights: Record<string, Float64Array> = {};
    for (const parameter of layer.parameters()) {
      weights[parameter.name] = Float64Array.from(await read(parameter));
    }
    const sizes = { ...options, sequence: SEQUENCE, normEpsilon: 0 };
    const expected = attend(Float64Array.from(await read(x)), weights, "layer", sizes);
    assertClose(await read(layer.forward(x, SEQUENCE)), expected, "y", 5e-6);
  });
}

/** The rows in which two [ROWS, HIDDEN] matrices differ. */
function changedRows(a: Float32Array, b: Float32Array): number[] {
  return Array.from({ length: ROWS }, (_, row) => row).filter((row) => {
    const [start, end] = [row * HIDDEN, (row + 1) * HIDDEN];
    return a.subarray(start, end).some((value, i) => !Object.is(value, b[start + i]));
  });
}

Deno.test("a token affects only its own row and later ones of its sequence, to the bit", async () => {
  using device = await openDevice({ seed: 2 });
  using layer = makeLayer(device, 2);
  using _scope = device.scope();
  const x = device.normal([ROWS, HIDDEN]);
  const numbers = await read(x);
  const before = await read(layer.forward(x, SEQUENCE));
  for (const row of [0, 4, SEQUENCE - 1, SEQUENCE, SEQUENCE + 7, ROWS - 1]) {
    const changed = numbers.slice();
    changed[row * HIDDEN] = changed[row * HIDDEN]! + 1;
    const after = await read(layer.forward(device.from(changed, [ROWS, HIDDEN]), SEQUENCE));
    const end = (Math.floor(row / SEQUENCE) + 1) * SEQUENCE;
    const later = Array.from({ length: end - row }, (_, i) => row + i);
    assertEquals(changedRows(before, after), later);
  }
});

Deno.test("sequences do not see each other: the result is the same together or alone", async () => {
  using device = await openDevice({ seed: 3 });
  using layer = makeLayer(device, 2);
  using _scope = device.scope();
  const x = device.normal([ROWS, HIDDEN]);
  const numbers = await read(x);
  const together = await read(layer.forward(x, SEQUENCE));
  const size = SEQUENCE * HIDDEN;
  for (let sequence = 0; sequence < BATCH; sequence++) {
    const [start, end] = [sequence * size, (sequence + 1) * size];
    const one = device.from(numbers.subarray(start, end), [SEQUENCE, HIDDEN]);
    const alone = await read(layer.forward(one, SEQUENCE));
    assertClose(alone, together.subarray(start, end), `sequence ${sequence}`, 1e-6);
  }
});

Deno.test("grouped heads equal heads with repeated keys and values", async () => {
  using device = await openDevice({ seed: 4 });
  using grouped = makeLayer(device, 2);
  using full = makeLayer(device, 4);
  using _scope = device.scope();
  const [narrow, output] = [...grouped.parameters()] as [Parameter, Parameter];
  const [wide, fullOutput] = [...full.parameters()] as [Parameter, Parameter];
  const headDim = HIDDEN / HEADS;
  const columns = { narrow: 8 * headDim, wide: 12 * headDim };
  const source = await read(narrow);
  // Heads of the full layer: 4 queries, then keys and values, each group's serving two heads.
  const headOf = [0, 1, 2, 3, /* keys */ 4, 4, 5, 5, /* values */ 6, 6, 7, 7];
  write(
    wide,
    Array.from({ length: HIDDEN * columns.wide }, (_, i) => {
      const [row, column] = [Math.floor(i / columns.wide), i % columns.wide];
      const head = headOf[Math.floor(column / headDim)]!;
      return source[row * columns.narrow + head * headDim + column % headDim]!;
    }),
  );
  write(fullOutput, await read(output));
  const x = device.normal([ROWS, HIDDEN]);
  const expected = await read(full.forward(x, SEQUENCE));
  assertClose(await read(grouped.forward(x, SEQUENCE)), expected, "y", 1e-6);
});

Deno.test("positions matter: the same tokens in another order attend differently", async () => {
  using device = await openDevice({ seed: 5 });
  using layer = makeLayer(device, 4);
  using _scope = device.scope();
  const x = await read(device.normal([3, HIDDEN]));
  const [a, b, c] = [0, 1, 2].map((i) => [...x.subarray(i * HIDDEN, (i + 1) * HIDDEN)]);
  const last = async (tokens: number[]): Promise<Float32Array> =>
    (await read(layer.forward(device.from(tokens, [3, HIDDEN]), 3))).subarray(2 * HIDDEN);
  const inOrder = await last([...a!, ...b!, ...c!]);
  const swapped = await last([...b!, ...a!, ...c!]);
  assertNotEquals(inOrder, swapped);
  assert(inOrder.some((value, i) => Math.abs(value - swapped[i]!) > 1e-3));
});

Deno.test("rows that do not form whole sequences are refused", async () => {
  using device = await openDevice();
  using layer = makeLayer(device, 2);
  using _scope = device.scope();
  assertThrows(
    () => layer.forward(device.zeros([11, HIDDEN]), 10),
    ShapeMismatchError,
    "sequence 10",
  );
});
