/**
 * How values of this package show themselves: in a console, as text, as JSON, in a notebook. A class
 * says what it is, once; this turns it into each of these.
 *
 * @module
 */

import type { DType } from "./dtype.ts";
import { showShape } from "./shape_math.ts";
import type { Shape } from "./shape.ts";

/** What a value says of itself. Nothing in it throws, whatever has been disposed of. */
export interface Description {
  /** The name of its class, as users know it. */
  readonly kind: string;
  /** What distinguishes it, in the order in which they are shown; all that JSON has. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** The facts as one text, where they read better so: `f32 [3, 4]`. */
  readonly label?: string;
  /** Where it lives; left out where it has no memory. */
  readonly place?: Place;
  /** What it holds, looked at only where it is shown: this may wait for the device. */
  readonly content?: () => Content;
}

/** Whose memory something lives in, and whether it still does. */
export interface Place {
  readonly memory: { readonly backend: string; readonly closed: boolean };
  readonly live: boolean;
}

/** What a value holds. */
export interface Content {
  readonly text: string;
  /** The same as rows of cells, where it is a table. */
  readonly rows?: readonly (readonly string[])[];
  /** Heads of the columns. */
  readonly head?: readonly string[];
}

/** Longest content that is shown on the line of the headline, in characters. */
const INLINE_CHARACTERS = 40;

/** Most rows of a table; of more, the first and last are shown. */
const TABLE_ROWS = 12;

/** What `Deno.inspect` tells of where a value stands. */
interface InspectOptions {
  readonly depth?: number;
  /** Spaces before each line but the first. */
  readonly indentationLvl?: number;
  /** The values it stands in. */
  readonly seen?: readonly unknown[];
}

/**
 * Lets values of a class show themselves. `console.log` and `Deno.inspect` print the headline and
 * what the value holds; within another value only what takes one line, at depth 0 the headline alone.
 * `String` gives the headline, `JSON.stringify` the facts, a notebook shows a table. Only what the
 * value holds is read from the device.
 *
 * @param kind The class.
 * @param describe Describes a value of it; called in its static block, it sees private fields.
 */
export function showsItself<T extends object>(
  kind: { readonly prototype: T },
  describe: (value: T) => Description,
): void {
  const described = (value: T): Description => {
    try {
      return describe(value);
    } catch {
      // The prototype itself, or an object made from it, has none of the private fields.
      return { kind: value.constructor.name, facts: {} };
    }
  };
  const methods = {
    [Symbol.for("Deno.customInspect")](this: T, _inspect: unknown, options: InspectOptions = {}) {
      return inspected(described(this), options);
    },
    [Symbol.for("Jupyter.display")](this: T) {
      const description = described(this);
      return { "text/plain": fullText(description), "text/html": html(description) };
    },
    toString(this: T) {
      return headline(described(this));
    },
    toJSON(this: T) {
      const { kind, facts, place } = described(this);
      return { kind, ...facts, ...placeFacts(place) };
    },
  };
  for (const name of Reflect.ownKeys(methods)) {
    const value: unknown = Reflect.get(methods, name);
    // Not enumerable, as methods are.
    Object.defineProperty(kind.prototype, name, { value, writable: true, configurable: true });
  }
}

/** A layer or a router: its settings, and the tensors it trains as a table. */
export function describeLayer(
  kind: string,
  settings: Readonly<Record<string, unknown>>,
  parameters: Iterable<Named>,
): Description {
  const list = [...parameters];
  const size = list.reduce((sum, { size }) => sum + size, 0);
  const facts = { ...settings, parameters: size };
  const place = list[0]?.place;
  if (place === undefined) return { kind, facts };
  return {
    kind,
    facts,
    place: { ...place, live: list.every(({ place }) => place?.live !== false) },
    content: () => table(["parameter", "type", "shape", "elements"], list.map(parameterCells)),
  };
}

/** What a table of parameters shows of one; a user's own layer may list anything. */
interface Named {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly size: number;
  readonly place?: Place;
}

function parameterCells({ name, dtype, shape, size }: Named): string[] {
  return [name, dtype, showShape(shape), String(size)];
}

/** Rows as aligned text and as cells, the middle left out where there are many. */
export function table(head: readonly string[], all: readonly (readonly string[])[]): Content {
  const edge = TABLE_ROWS / 2;
  const rows = all.length <= TABLE_ROWS
    ? all
    : [...all.slice(0, edge), [`… ${all.length - 2 * edge} more`], ...all.slice(-edge)];
  const widths = head.map((_, column) =>
    Math.max(...rows.map((row) => row.length === 1 ? 0 : row[column]!.length))
  );
  const text = rows.map((row) =>
    `  ${row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ")}`.trimEnd()
  ).join("\n");
  return { text, rows, head };
}

/** `Tensor f32 [3, 4] on cpu`, `MoE on cpu: hidden 64, experts 8`. */
function headline({ kind, label, facts, place }: Description): string {
  const at = place === undefined ? "" : placeText(place);
  if (label !== undefined) return `${kind} ${label}${at}`;
  const named = Object.entries(facts).map(([name, value]) => `${spaced(name)} ${factText(value)}`);
  return `${kind}${at}${named.length === 0 ? "" : `: ${named.join(", ")}`}`;
}

function placeText({ memory, live }: Place): string {
  if (memory.closed) return ", its device is closed";
  return live ? ` on ${memory.backend}` : ", disposed of";
}

function placeFacts(place: Place | undefined): Record<string, unknown> {
  if (place === undefined) return {};
  const { memory, live } = place;
  return live && !memory.closed ? { device: memory.backend } : { device: null };
}

/** `memoryInUse` as words. */
function spaced(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function factText(value: unknown): string {
  return Array.isArray(value) ? showShape(value) : String(value);
}

/** What it holds; nothing for what is gone, and a reason where the device does not give it. */
function contentOf({ content, place }: Description): Content | null {
  if (content === undefined) return null;
  if (place !== undefined && (!place.live || place.memory.closed)) return null;
  try {
    return content();
  } catch (error) {
    // A console must not fail: the fault belongs to an operation before, whose caller will hear of it.
    return { text: `  (cannot be read: ${error instanceof Error ? error.message : error})` };
  }
}

/** The headline and what it holds, on its line where that is short. */
function fullText(description: Description): string {
  const content = contentOf(description);
  if (content === null || content.text === "") return headline(description);
  return isShort(content)
    ? `${headline(description)}: ${content.text}`
    : `${headline(description)}\n${content.text}`;
}

function inspected(description: Description, options: InspectOptions): string {
  const { depth, indentationLvl = 0, seen = [] } = options;
  // Messages show what they were given at depth 0, and must neither wait nor take several lines.
  if (depth === 0) return headline(description);
  const text = fullText(description);
  const within = seen.length > 0 || indentationLvl > 0;
  return within && text.includes("\n") ? headline(description) : text;
}

function isShort({ text, head }: Content): boolean {
  return head === undefined && text.length <= INLINE_CHARACTERS && !text.includes("\n");
}

function html(description: Description): string {
  const content = contentOf(description);
  const title = `<div><b>${escaped(headline(description))}</b></div>`;
  if (content === null || content.text === "") return title;
  if (content.rows === undefined) return `${title}<pre>${escaped(content.text)}</pre>`;
  const head = content.head === undefined ? "" : rowHtml("th", content.head);
  return `${title}<table>${head}${content.rows.map((row) => rowHtml("td", row)).join("")}</table>`;
}

function rowHtml(tag: "th" | "td", cells: readonly string[]): string {
  return `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join("")}</tr>`;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

function escaped(text: string): string {
  return text.replaceAll(/[&<>]/g, (character) => ENTITIES[character]!);
}
