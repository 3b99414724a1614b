import { DTypeCode } from "../../lib/ffi/mod.ts";
import { type HostArray, type OperationCase, operationCase, output, widened } from "./case.ts";
import { type DType, ELEMENT_BYTES, stored } from "./stored.ts";
import { EXACT } from "./tolerance.ts";

/**
 * A case of `remoe_fill`.
 *
 * @param dtype Element type.
 * @param value The fill value.
 * @param count Elements.
 * @returns The case.
 */
export function fillCase(dtype: DType, value: number, count: number): OperationCase {
  return operationCase({
    name: `fill ${dtype}[${count}] with ${value}`,
    operation: "fill",
    symbols: ["remoe_fill"],
    flops: 0,
    bytes: count * ELEMENT_BYTES[dtype],
    inputs: () => ({}),
    outputs: { target: output([count], EXACT, dtype) },
    call(k, at) {
      const status = k.symbols.remoe_fill(
        k.handle,
        DTypeCode[dtype],
        at("target"),
        value,
        BigInt(count),
      );
      k.check(status, "fill");
    },
    reference: () => ({
      target: new Float64Array(count).fill(widened(stored([value], dtype))[0]!),
    }),
  });
}

/**
 * A case of `remoe_copy`.
 *
 * @param bytes How many bytes.
 * @returns The case.
 */
export function copyCase(bytes: number): OperationCase {
  return operationCase({
    name: `copy ${bytes} bytes`,
    operation: "copy",
    symbols: ["remoe_copy"],
    flops: 0,
    bytes: 2 * bytes,
    inputs: (random) => ({ source: Uint8Array.from(random.integers(bytes, 256)) }),
    outputs: { target: output([bytes], EXACT, "u8") },
    call(k, at) {
      k.check(k.symbols.remoe_copy(k.handle, at("target"), at("source"), BigInt(bytes)), "copy");
    },
    reference: ({ source }) => ({ target: source }),
  });
}

/**
 * A case of `remoe_cast`. Where bfloat16 takes part, subnormal numbers may become 0.
 *
 * @param from Element type of the source.
 * @param to Element type of the target.
 * @param label What the values are meant to exercise.
 * @param values The numbers to convert, or the source itself.
 * @returns The case.
 */
export function castCase(
  from: DType,
  to: DType,
  label: string,
  values: readonly number[] | HostArray,
): OperationCase {
  const count = values.length;
  const source = Array.isArray(values) ? stored(values, from) : values as HostArray;
  const isBf16 = from === "bf16" || to === "bf16";
  const inNormalRange = (numbers: ArrayLike<number>) => isBf16 ? flushed(numbers) : numbers;
  return operationCase({
    name: `cast ${from} to ${to}, ${label} [${count}]`,
    operation: "cast",
    symbols: ["remoe_cast"],
    flops: 0,
    bytes: count * (ELEMENT_BYTES[from] + ELEMENT_BYTES[to]),
    inputs: () => ({ source }),
    outputs: { target: output([count], EXACT, to) },
    call(k, at) {
      const status = k.symbols.remoe_cast(
        k.handle,
        DTypeCode[to],
        at("target"),
        DTypeCode[from],
        at("source"),
        BigInt(count),
      );
      k.check(status, "cast");
    },
    defined: (outputs) => ({ target: inNormalRange(outputs.target) }),
    reference: () => ({ target: inNormalRange(widened(stored(widened(source), to))) }),
  });
}

/** Replaces numbers below the smallest normal one of bfloat16 by 0. */
function flushed(values: ArrayLike<number>): number[] {
  return Array.from(values, (value) => Math.abs(value) < 2 ** -126 ? 0 : value);
}

/** fp32 numbers of every size with each kind of remainder: none, below, on and above a tie. */
function aroundTies(): Float32Array<ArrayBuffer> {
  const lower = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
  // Every seventh, so that mantissas of every exponent are even and odd.
  const upper = Array.from({ length: Math.floor(2 ** 16 / 7) }, (_, i) => 7 * i);
  const words = Uint32Array.from(upper.flatMap((high) => lower.map((low) => high << 16 | low)));
  return new Float32Array(words.buffer);
}

const ULP = 2 ** -7; // of bfloat16 at 1
const ROUNDING_TO_BF16 = [
  ...[0, -0, 1, -1, 3.140625, Infinity, -Infinity, NaN],
  ...[1 + ULP / 2, 1 + (3 * ULP) / 2, -1 - ULP / 2], // ties go to the even neighbour
  ...[1 + ULP / 2 + 2 ** -23, 1 + ULP / 2 - 2 ** -23, 1 + ULP - 2 ** -23],
  ...[3.3895e38, 3.4e38, -3.4e38, 1e-38, 1e-40, -1e-45], // the largest, overflow, subnormal
];
const EVERY_BF16 = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i);
const ONCE = [1, 3].flatMap((odd) => [-1, 1].map((sign) => 1 + (odd * ULP) / 2 + sign * 2 ** -40));
const TRUNCATING = [
  0,
  0.99,
  -0.99,
  1.5,
  -1.5,
  2.5,
  1e6 + 0.75,
  -123456.7,
  2 ** 31 - 128,
  -(2 ** 31),
];
const INTEGERS = [0, 1, -1, 255, -256, 65535, 2 ** 24, -(2 ** 24)];
const RAMP = Array.from({ length: 1003 }, (_, i) => (i - 501) / 37);

/** Cases of filling, copying and converting. */
export const STORAGE_CASES: readonly OperationCase[] = [
  fillCase("f32", 0.1, 1),
  fillCase("f32", -1.5, 1003),
  fillCase("bf16", 0.1, 17),
  fillCase("i32", -7, 33),
  fillCase("f64", 0.1, 5),
  ...[1, 13, 4099, 3 * 2 ** 20 + 5].map(copyCase),
  castCase("f32", "bf16", "rounding", ROUNDING_TO_BF16),
  castCase("f32", "bf16", "a ramp", RAMP),
  castCase("bf16", "f32", "widening", ROUNDING_TO_BF16),
  castCase("bf16", "f32", "a ramp", RAMP),
  castCase("f32", "i32", "truncating", TRUNCATING),
  castCase("bf16", "i32", "truncating", RAMP),
  castCase("i32", "f32", "integers", [...INTEGERS, 2 ** 24 + 1, 2 ** 24 + 3, 2 ** 31 - 1]),
  castCase("i32", "bf16", "integers", INTEGERS),
  castCase("f32", "f32", "a ramp", RAMP),
  castCase("f64", "f32", "rounding", [0.1, 1 + 2 ** -24, 1 + 3 * 2 ** -24, -1e300, 1e-50, NaN]),
  castCase("f32", "f64", "widening", [0.1, -1e-45, 3.4e38]),
  castCase("i32", "f64", "integers", [...INTEGERS, 2 ** 31 - 1]),
  castCase("f64", "i32", "truncating", [...TRUNCATING, 2 ** 31 - 1]),
  // A rounding to fp32 in between would round up numbers just below a tie, and down those above.
  castCase("f64", "bf16", "rounding", [...ROUNDING_TO_BF16, ...ONCE, -1e300, 1e-50]),
  castCase("i32", "bf16", "rounding", [2 ** 30 + 2 ** 22 + 1, 2 ** 31 - 1, -(2 ** 30) - 2 ** 22]),
  castCase("bf16", "f64", "widening", ROUNDING_TO_BF16),
  castCase("bf16", "f32", "every number", EVERY_BF16),
  castCase("bf16", "bf16", "every number", EVERY_BF16),
  castCase("f32", "bf16", "ties of every size", aroundTies()),
];
