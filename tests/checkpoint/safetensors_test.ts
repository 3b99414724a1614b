import { assert, assertEquals, assertThrows } from "@std/assert";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { CheckpointError } from "../../lib/errors.ts";
import {
  type SafetensorsDType,
  SafetensorsFile,
  type TensorEntry,
  writeSafetensors,
} from "../../lib/train/mod.ts";
import { tensorBytes } from "../../lib/checkpoint/safetensors_header.ts";
import { TemporaryFolder } from "../temporary_folder.ts";

function entry(name: string, dtype: SafetensorsDType, shape: number[], fill = 1): TensorEntry {
  const bytes = new Uint8Array(tensorBytes({ dtype, shape })).fill(fill);
  return { name, dtype, shape, read: () => bytes };
}

/** A safetensors file with the given header text and number of data bytes. */
function craft(path: string, header: string, dataBytes: number, length?: bigint): void {
  const json = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  file.set(json, 8);
  Deno.writeFileSync(path, file);
}

Deno.test("`writeSafetensors()` writes what `SafetensorsFile` reads, for all dtypes and shapes", () => {
  const dtypes = ["F32", "BF16", "F16", "F64", "I32", "I64"] as const;
  const tensor = fc.record({
    name: fc.string({ unit: "binary", minLength: 1 }).filter((name) => name !== "__metadata__"),
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
    fill: fc.integer({ min: 0, max: 255 }),
  });
  const tensors = fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 8 });
  const metadata = fc.dictionary(fc.string({ minLength: 1 }), fc.string());
  using folder = new TemporaryFolder();
  const path = `${folder.path}/any.safetensors`;
  fc.assert(
    fc.property(tensors, metadata, (list, about) => {
      const entries = list.map(({ name, dtype, shape, fill }) => entry(name, dtype, shape, fill));
      const digest = writeSafetensors(path, entries, about);
      const written = Deno.readFileSync(path);
      assertEquals(digest.bytes, written.length);
      assertEquals(digest.sha256, createHash("sha256").update(written).digest("hex"));
      {
        using file = SafetensorsFile.open(path);
        assertEquals([...file.tensors.keys()].sort(), entries.map(({ name }) => name).sort());
        assertEquals(Object.entries(file.metadata).sort(), Object.entries(about).sort());
        for (const { name, read, dtype, shape } of entries) {
          assertEquals(file.read(name, { dtype, shape }), read() as Uint8Array<ArrayBuffer>);
        }
      }
      Deno.removeSync(path);
    }),
    { numRuns: 60 },
  );
});

Deno.test("`writeSafetensors()` follows the file format", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/model.safetensors`;
  writeSafetensors(path, [entry("b", "F32", [2], 7), entry("a", "I64", [], 9)], { format: "pt" });
  const bytes = Deno.readFileSync(path);
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  assertEquals(length % 8, 0);
  assertEquals(JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))), {
    __metadata__: { format: "pt" },
    b: { dtype: "F32", shape: [2], data_offsets: [0, 8] },
    a: { dtype: "I64", shape: [], data_offsets: [8, 16] },
  });
  assertEquals([...bytes.subarray(8 + length)], [...Array(8).fill(7), ...Array(8).fill(9)]);
});

Deno.test("`writeSafetensors()` reads one tensor at a time, chunk by chunk if given chunks", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/model.safetensors`;
  const order: string[] = [];
  const piecewise = (name: string): TensorEntry => ({
    name,
    dtype: "F32",
    shape: [3],
    *read() {
      for (const byte of [1, 2, 3]) {
        order.push(name + byte);
        yield new Uint8Array(4).fill(byte);
      }
    },
  });
  writeSafetensors(path, [piecewise("a"), piecewise("b")]);
  assertEquals(order, ["a1", "a2", "a3", "b1", "b2", "b3"]);
  using file = SafetensorsFile.open(path);
  assertEquals([...file.read("b")], [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
});

Deno.test("`writeSafetensors()` refuses duplicate and reserved names, and data of the wrong size", () => {
  using folder = new TemporaryFolder();
  const write = (entries: TensorEntry[]): void => {
    writeSafetensors(Deno.makeTempDirSync({ dir: folder.path }) + "/x", entries);
  };
  const a = entry("a", "F32", [2]);
  assertThrows(() => write([a, a]), CheckpointError, 'tensor "a": two tensors have it');
  assertThrows(() => write([entry("__metadata__", "F32", [])]), CheckpointError, "reserves");
  const F99 = "F99" as SafetensorsDType;
  assertThrows(() => write([{ ...a, dtype: F99 }]), CheckpointError, "no F99 [2]");
  assertThrows(() => write([{ ...a, shape: [-1] }]), CheckpointError, "no F32 [-1]");
  const short = { ...a, read: () => new Uint8Array(7) };
  assertThrows(
    () => write([short]),
    CheckpointError,
    "tensor a [2] of F32 takes 8 bytes and gave 7",
  );
});

Deno.test("`SafetensorsFile` refuses a damaged header and names the file and the problem", () => {
  const a = '"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}';
  const b = (from: number, to: number, name = "b"): string =>
    `"${name}":{"dtype":"F32","shape":[2],"data_offsets":[${from},${to}]}`;
  const cases: [header: string, dataBytes: number, fault: string][] = [
    [`{${a}`, 8, "not JSON"],
    [` {${a}}`, 8, "does not begin with {"],
    [`[]`, 0, "does not begin with {"],
    [`{${a},${b(8, 16, "a")}}`, 16, "names a key twice"],
    [`{${a},${b(8, 16, "\\u0061")}}`, 16, "names a key twice"],
    [
      `{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}`,
      8,
      "names a key twice",
    ],
    [`{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,4]}}`, 4, 'dtype "F99"'],
    [`{"a":{"dtype":"toString","shape":[],"data_offsets":[0,4]}}`, 4, 'dtype "toString"'],
    [`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4, "not whole numbers"],
    [`{"a":{"dtype":"F32","shape":[0.5],"data_offsets":[0,2]}}`, 2, "not whole numbers"],
    [`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}`, 8, "not whole numbers"],
    [
      `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`,
      4,
      "takes 8 bytes, its offsets span 4",
    ],
    [
      `{"a":{"dtype":"F32","shape":[9007199254740991,2],"data_offsets":[0,8]}}`,
      8,
      "offsets span 8",
    ],
    [`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8, "offsets span -8"],
    [`{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}`, 2, "takes 1.5 bytes"],
    [`{"a":null}`, 0, "dtype undefined"],
    [`{${a},${b(4, 12)}}`, 12, "tensor b overlaps the one before it"],
    [`{${a},${b(12, 20)}}`, 20, "tensor b leaves a hole before it: it begins at 12, not 8"],
    [`{${b(4, 12)}}`, 12, "tensor b leaves a hole before it: it begins at 4, not 0"],
    [`{${a}}`, 9, "the tensors take 8 bytes, the file holds 9"],
    [`{${a}}`, 7, "the tensors take 8 bytes, the file holds 7"],
    [`{"__metadata__":{"x":1},${a}}`, 8, "__metadata__ is not a map of texts"],
  ];
  using folder = new TemporaryFolder();
  const path = `${folder.path}/bad.safetensors`;
  for (const [header, dataBytes, fault] of cases) {
    craft(path, header, dataBytes);
    const { message } = assertThrows(() => SafetensorsFile.open(path), CheckpointError);
    assert(message.startsWith(`Cannot read ${path}: `), message);
    assert(message.includes(fault), `${message}\nlacks\n${fault}`);
  }
});

Deno.test("`SafetensorsFile` refuses a header longer than the file or than allowed", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/bad.safetensors`;
  craft(path, "{}", 0, 3n);
  assertThrows(() => SafetensorsFile.open(path), CheckpointError, "claims 3 bytes, of 2");
  craft(path, "{}", 0, 2n ** 63n);
  assertThrows(() => SafetensorsFile.open(path), CheckpointError, "claims 9223372036854775808");
  Deno.writeFileSync(path, new Uint8Array(7));
  assertThrows(() => SafetensorsFile.open(path), CheckpointError, "7 bytes, too few");
  Deno.writeFileSync(path, new Uint8Array([2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff]));
  assertThrows(() => SafetensorsFile.open(path), CheckpointError, "not JSON in UTF-8");
  assertThrows(() => SafetensorsFile.open(`${path}.none`), CheckpointError, "Cannot read");
});

Deno.test("`SafetensorsFile` refuses a missing tensor and a wrong dtype or shape", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/model.safetensors`;
  writeSafetensors(path, [entry("a", "F32", [2, 3])]);
  using file = SafetensorsFile.open(path);
  assertThrows(() => file.read("b"), CheckpointError, "does not hold it");
  assertThrows(
    () => file.read("a", { dtype: "F32", shape: [3, 2] }),
    CheckpointError,
    "holds F32 [2, 3], the model needs F32 [3, 2]",
  );
});

/** Every dtype of the format with its size in bits. */
const DTYPES = {
  ...{ F64: 64, F32: 32, F16: 16, BF16: 16, F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8 },
  ...{ F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, F6_E2M3: 6, F6_E3M2: 6, F4: 4, C64: 64 },
  ...{ I64: 64, U64: 64, I32: 32, U32: 32, I16: 16, U16: 16, I8: 8, U8: 8, BOOL: 8 },
} as const;

Deno.test("tensors of any dtype in the format leave the others readable", () => {
  using folder = new TemporaryFolder();
  for (const [dtype, bits] of Object.entries(DTYPES)) {
    const path = `${folder.path}/${dtype}.safetensors`;
    const header = JSON.stringify({
      other: { dtype, shape: [2, 4], data_offsets: [0, bits] },
      w: { dtype: "F32", shape: [1], data_offsets: [bits, bits + 4] },
    });
    craft(path, header, bits + 4);
    using file = SafetensorsFile.open(path);
    assertEquals(file.tensors.get("other")?.dtype as string, dtype);
    assertEquals(file.read("w").length, 4);
    if (["F32", "BF16", "F16", "F64", "I32", "I64"].includes(dtype)) {
      assertEquals(file.read("other").length, bits);
      continue;
    }
    const { message } = assertThrows(() => file.read("other"), CheckpointError);
    assert(message.startsWith("Cannot read tensor other: "), message);
    assert(message.includes(`as ${dtype},`), message);
  }
});

/** Decodes a 16-bit float by the definition of its dtype. */
function half(bits: number, exponentBits: number): number {
  const fractionBits = 15 - exponentBits;
  const exponent = bits >> fractionBits & (1 << exponentBits) - 1;
  const fraction = (bits & (1 << fractionBits) - 1) / 2 ** fractionBits;
  const sign = bits >> 15 ? -1 : 1;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return fraction > 0 ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias);
  return sign * (1 + fraction) * 2 ** (exponent - bias);
}

Deno.test("all 16-bit floats convert to fp32 exactly, whole and in chunks", () => {
  using folder = new TemporaryFolder();
  const all = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits);
  for (const [dtype, exponentBits] of [["F16", 5], ["BF16", 8]] as const) {
    const path = `${folder.path}/${dtype}.safetensors`;
    const read = () => new Uint8Array(all.buffer);
    writeSafetensors(path, [entry("odd", "F16", [1]), {
      name: "a",
      dtype,
      shape: [2 ** 16],
      read,
    }]);
    using file = SafetensorsFile.open(path);
    const expected = { dtype: "F32", shape: [2 ** 16] } as const;
    const whole = new Float32Array(file.read("a", expected).buffer);
    whole.forEach((value, bits) => assertEquals(value, half(bits, exponentBits)));
    let at = 0;
    for (const piece of file.pieces("a", expected, new Uint8Array(1000))) {
      const values = new Float32Array(piece.buffer, 0, piece.length / 4);
      assertEquals(values, whole.subarray(at, at += values.length));
    }
    assertEquals(at, whole.length);
    const wrong = { dtype: "F64", shape: [2 ** 16] } as const;
    assertThrows(() => file.read("a", wrong), CheckpointError, `holds ${dtype}`);
    const pieces = (bytes: number) => [...file.pieces("a", expected, new Uint8Array(bytes))];
    for (const bytes of [0, 7]) assertThrows(() => pieces(bytes), RangeError, `of ${bytes} bytes`);
  }
});

Deno.test("checking a header of 300,000 tensors takes little longer than parsing it", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/many.safetensors`;
  const places = Array.from({ length: 300_000 }, (_, i) => {
    const at = 299_999 - i;
    return `"model.layers.${i}.w":{"dtype":"F32","shape":[1],"data_offsets":[${4 * at},${
      4 * at + 4
    }]}`;
  });
  const header = `{${places.join(",")}}`;
  craft(path, header, 4 * places.length);
  const best = (act: () => void): number => {
    const times = Array.from({ length: 4 }, () => {
      const started = performance.now();
      act();
      return performance.now() - started;
    });
    return Math.min(...times);
  };
  const parsing = best(() => JSON.parse(header));
  const opening = best(() => {
    using file = SafetensorsFile.open(path);
    assertEquals(file.tensors.size, 300_000);
  });
  assert(opening < 10 * parsing, `${opening} ms, ${parsing} ms to parse`);
});
