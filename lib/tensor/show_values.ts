/** Formats a tensor's values, shortening long axes; reads only what is shown. @module */

import type { Content } from "./display.ts";
import { type DType, DTYPE_BYTES } from "./dtype.ts";
import { hostArray } from "./host_array.ts";
import { denseStrides } from "./shape_math.ts";
import type { Shape } from "./shape.ts";

/** Tensors of up to so many elements are shown in full. */
const WHOLE = 1000;

/** Entries shown at each end of an axis of a larger tensor. */
const EDGE = 3;

/** Stands for omitted entries. */
const GAP = "...";

/** Maximum width of a line of values, in characters. */
const LINE = 100;

/** The parts of a live tensor needed to show it. */
export interface Readable {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly size: number;
  /** Reads bytes from a byte offset on; waits for the device. */
  readBytes(from: number, bytes: Uint8Array<ArrayBuffer>): void;
}

/** Values nested like the tensor's axes; null stands for omitted ones. */
type Nested = number | null | readonly Nested[];

/**
 * Formats a tensor's values as nested brackets, and those of a vector or matrix also as cells.
 *
 * @param tensor The tensor.
 * @returns The content to show.
 */
export function valuesOf(tensor: Readable): Content {
  const values = nested(tensor, 0, 0, denseStrides(tensor.shape));
  const format = formatOf(flat(values), tensor.dtype);
  const text = nestedText(values, format, 1);
  if (tensor.shape.length < 1 || tensor.shape.length > 2) return { text };
  const rows = (tensor.shape.length === 1 ? [values] : values) as readonly Nested[];
  return { text, rows: rows.map((row) => cells(row, format)) };
}

/** Reads the shown part of an axis and the axes within it, starting at element `first`. */
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

/** Reads consecutive elements. */
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

/** A common format for all shown numbers, padded to equal width. */
function formatOf(values: readonly number[], dtype: DType): (value: number) => string {
  const write = writer(values.filter(Number.isFinite), dtype);
  const width = Math.max(0, ...values.map((value) => write(value).length));
  return (value) => write(value).padStart(width);
}

/** Plain integers, four decimals, or exponents if the numbers are too large or small for those. */
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

/** Puts brackets around each axis, with the last axis on one line if it fits. */
function nestedText(values: Nested, format: (value: number) => string, indent: number): string {
  if (values === null) return GAP;
  if (typeof values === "number") return format(values);
  const flatRow = values.every((value) => value === null || typeof value === "number");
  const parts = values.map((value) => nestedText(value, format, indent + 1));
  if (flatRow) return `[${wrapped(parts, indent)}]`;
  return `[${parts.join(`,\n${" ".repeat(indent)}`)}]`;
}

/** Joins cells by commas, wrapping lines at a maximum width. */
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
