/**
 * The messages of an event file: `Event`, `Summary` and their fields, after TensorFlow's
 * `event.proto` and `summary.proto`.
 *
 * @module
 */

import {
  double,
  doubles,
  type Encoded,
  float,
  integer,
  message,
  readVarint,
  string,
} from "./protobuf.ts";

/** `DataType.DT_STRING` of a tensor. */
const DT_STRING = 7;
/** `SessionLog.SessionStatus.START`. */
const START = 1;
/** Bytes of an event up to the end of its step, as {@linkcode encodeEvent} lays it out. */
export const STEP_END = 9 + 1 + 8;

/** An event without its time and step. */
export type EventBody = Encoded;

/**
 * Encodes an event.
 *
 * @param seconds The time since 1970.
 * @param step The step it belongs to.
 * @param body The rest of the event.
 * @returns The message.
 */
export function encodeEvent(seconds: number, step: number, body: EventBody): Uint8Array {
  return Uint8Array.from([...double(1, seconds), ...integer(2, step), ...body]);
}

/**
 * Reads an event's step.
 *
 * @param bytes The first {@linkcode STEP_END} bytes of a message by {@linkcode encodeEvent}.
 * @returns The step; NaN if the message has another layout.
 */
export function stepOf(bytes: Uint8Array): number {
  return bytes[0] === 0x09 && bytes[9] === 0x10 ? readVarint(bytes, 10) : NaN;
}

/**
 * Encodes the first event of a file.
 *
 * @returns The event's body, with the version of the format.
 */
export function fileVersion(): EventBody {
  return string(3, "brain.Event:2");
}

/**
 * Encodes that a run restarts at the event's step: a reader discards what it has of that step and
 * later ones.
 *
 * @returns The event's body.
 */
export function sessionStart(): EventBody {
  return message(7, integer(1, START));
}

/**
 * Encodes the values of a step.
 *
 * @param values Results of {@linkcode scalar}, {@linkcode histogram} and {@linkcode text}.
 * @returns The event's body.
 */
export function summary(values: readonly Encoded[]): EventBody {
  return message(5, ...values);
}

/**
 * Encodes a number.
 *
 * @param tag The name; the part before its first slash is the group it is shown in.
 * @param value Stored in 32 bits; may be non-finite.
 * @param description What it measures and in which unit, as Markdown; shown beside the chart.
 * Readers use the first one of a tag, so later ones may be omitted.
 * @returns A value of a summary.
 */
export function scalar(tag: string, value: number, description?: string): Encoded {
  return message(1, string(1, tag), float(2, value), metadata("scalars", description));
}

/**
 * Encodes a histogram over the integers from 0.
 *
 * @param tag The name.
 * @param counts The weight of 0, 1, ...; need not be integers.
 * @param description As for {@linkcode scalar}.
 * @returns A value of a summary.
 */
export function histogram(tag: string, counts: readonly number[], description?: string): Encoded {
  const sum = (weight: (at: number) => number): number =>
    counts.reduce((total, count, at) => total + count * weight(at), 0);
  const content = message(
    5,
    // Half-open buckets centred on the integers.
    double(1, -0.5),
    double(2, counts.length - 0.5),
    double(3, sum(() => 1)),
    double(4, sum((at) => at)),
    double(5, sum((at) => at * at)),
    doubles(6, counts.map((_, at) => at + 0.5)),
    doubles(7, counts),
  );
  return message(1, string(1, tag), content, metadata("histograms", description));
}

/**
 * Encodes a text, which TensorBoard renders as Markdown.
 *
 * @param tag The name.
 * @param markdown The text.
 * @returns A value of a summary.
 */
export function text(tag: string, markdown: string): Encoded {
  const shape = message(2, message(2, integer(1, 1)));
  const tensor = message(8, integer(1, DT_STRING), shape, string(8, markdown));
  return message(1, string(1, tag), tensor, message(9, plugin("text")));
}

function metadata(name: string, description: string | undefined): Encoded {
  return description === undefined ? [] : message(9, plugin(name), string(3, description));
}

function plugin(name: string): Encoded {
  return message(1, string(1, name));
}
