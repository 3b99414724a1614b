/** The values of a tensor as text, long ones shortened; only what is shown is read. @module */

import type { Content } from "./display.ts";
import { type DType, DTYPE_BYTES } from "./dtype.ts";
import { hostArray } from "./host_array.ts";
import { denseStrides } from "./shape_math.ts";
import type { Shape } from "./shape.ts";

/** Most elements that are shown whole. */
const WHOLE = 1000;

/** How many entries at each end of an axis are shown of a larger tensor. */
const EDGE = 3;

/** Shown in place of what is left out. */
const GAP = "...";

/** Widest a line of values gets, in characters. */
const LINE = 100;

/** A live tensor, as far as showing it needs to know. */
export interface Readable {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly size: number;
  /** Reads bytes from a byte on; waits for the device. */
  readBytes(from: number, bytes: Uint8Array<ArrayBuffer>): void;
}

/** Values of a tensor, nested like its axes; null stands for those left out. */
type Nested = number | null | readonly Nested[];

/**
 * The values of a tensor, as nested brackets; a matrix also as rows of cells.
 *
 * @param tensor The tensor.
 * @returns What to show.
 */
export function valuesOf(tensor: Readable): Content {
  const values = nested(tensor, 0, 0, denseStrides(tensor.shape));
  const format = formatOf(flat(values), tensor.dtype);
  const text = nestedText(values, format, 1);
  if (tensor.shape.length < 1 || tensor.shape.length > 2) return { text };
  const rows = (tensor.shape.length === 1 ? [values] : values) as readonly Nested[];
  return { text, rows: rows.map((row) => cells(row, format)) };
}

/** Reads what is shown of one axis and those within, from an element on. */
function nested(tensor: Readable, axis: number, first: number, strides: number[]): Nested {
  const { shape } = tensor;
  if (axis === shape.length) return readRun(tensor, first, 1)[0]!;
  const size = shape[axis]!;
  const whole = tensor.size <= WHOLE || size <= 2 * EDGE;
  const last = axis === shape.length - 1;
  if (last) {
    if (whole) return readRun(tensor, first, size);
    return [...readRun(tensor, first, EDGE), null, ...readRun(tensor, first + size - EDGE, EDGE)];
  }
  const at = (index: number) => nested(tensor, axis + 1, first + index * strides[axis]!, strides);
  if (whole) return Array.from({ length: size }, (_, index) => at(index));
  const edge = Array.from({ length: EDGE }, (_, index) => index);
  return [...edge.map(at), null, ...edge.map((index) => at(size - EDGE + index))];
}

/** Neighbouring elements. */
function readRun(tensor: Readable, first: number, count: number): number[] {
  const width = DTYPE_BYTES[tensor.dtype];
  const bytes = new Uint8Array(count * width);
  tensor.readBytes(first * width, bytes);
  return Array.from(hostArray(tensor.dtype, bytes));
}

function flat(values: Nested): number[] {
  if (values === null) return [];
  return typeof values === "number" ? [values] : values.flatMap(flat);
}

/** One way to write all shown numbers, of equal width. */
function formatOf(values: readonly number[], dtype: DType): (value: number) => string {
  const write = writer(values.filter(Number.isFinite), dtype);
  const width = Math.max(0, ...values.map((value) => write(value).length));
  return (value) => write(value).padStart(width);
}

/** Whole numbers as they are, others with four decimals, or as powers of ten where those hide them. */
function writer(finite: readonly number[], dtype: DType): (value: number) => string {
  if (dtype === "i32") return String;
  const sizes = finite.map(Math.abs).filter((size) => size > 0);
  const largest = Math.max(0, ...sizes), smallest = Math.min(Infinity, ...sizes);
  const round = finite.every(Number.isInteger);
  if (largest >= 1e8 || smallest < 1e-4) {
    return (value) => Number.isFinite(value) ? value.toExponential(4) : String(value);
  }
  if (round) return String;
  return (value) => Number.isFinite(value) ? value.toFixed(4) : String(value);
}

/** Brackets around each axis, the last on one line if it fits, rows below one another. */
function nestedText(values: Nested, format: (value: number) => string, indent: number): string {
  if (values === null) return GAP;
  if (typeof values === "number") return format(values);
  const flatRow = values.every((value) => value === null || typeof value === "number");
  const parts = values.map((value) => nestedText(value, format, indent + 1));
  if (flatRow) return `[${wrapped(parts, indent)}]`;
  return `[${parts.join(`,\n${" ".repeat(indent)}`)}]`;
}

/** Cells with commas between, in lines of a bounded width. */
function wrapped(parts: readonly string[], indent: number): string {
  let text = "", width = indent;
  parts.forEach((part, i) => {
    const cell = i < parts.length - 1 ? `${part}, ` : part;
    if (i > 0 && width + cell.length > LINE) {
      text = `${text.trimEnd()}\n${" ".repeat(indent)}`;
      width = indent;
    }
    text += cell;
    width += cell.length;
  });
  return text;
}

function cells(row: Nested, format: (value: number) => string): string[] {
  const list = Array.isArray(row) ? row as readonly Nested[] : [row];
  return list.map((value) => typeof value === "number" ? format(value).trim() : GAP);
}
