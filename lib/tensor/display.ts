/**
 * How values of this package are displayed in consoles, strings, JSON and notebooks. A class
 * describes itself once; this module renders the description in each form.
 *
 * @module
 */

import type { DType } from "./dtype.ts";
import { showShape } from "./shape_math.ts";
import type { Shape } from "./shape.ts";

/** A value's description of itself. Nothing in it may throw, even after disposal. */
export interface Description {
  /** The public name of its class. */
  readonly kind: string;
  /** Its properties in display order; JSON shows exactly these. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** The facts as one string, if that reads better: `f32 [3, 4]`. */
  readonly label?: string;
  /** Where it lives; absent if it has no memory. */
  readonly place?: Place;
  /** What it holds. Called only to display it, because it may wait for the device. */
  readonly content?: () => Content;
}

/** The memory that something lives in, and whether it is still alive. */
export interface Place {
  readonly memory: { readonly backend: string; readonly closed: boolean };
  readonly live: boolean;
}

/** What a value holds. */
export interface Content {
  readonly text: string;
  /** The same as rows of cells, for a table. */
  readonly rows?: readonly (readonly string[])[];
  /** Column headings. */
  readonly head?: readonly string[];
}

/** Longest content shown on the headline's own line, in characters. */
const INLINE_CHARACTERS = 40;

/** Largest number of rows shown; longer tables show only the first and last ones. */
const TABLE_ROWS = 12;

/** What `Deno.inspect` passes about a value's surroundings. */
interface InspectOptions {
  readonly depth?: number;
  /** Spaces before each line but the first. */
  readonly indentationLvl?: number;
  /** The values that contain it. */
  readonly seen?: readonly unknown[];
}

/**
 * Adds display methods to a class. `console.log` and `Deno.inspect` print the headline and the
 * content; inside another value they print the content only if it fits on one line, and at depth 0
 * the headline alone. `String` gives the headline, `JSON.stringify` the facts, and a notebook shows
 * a table. Only the content is read from the device.
 *
 * @param kind The class.
 * @param describe Describes an instance; defined in the class's static block, it sees private
 * fields.
 */
export function showsItself<T extends object>(
  kind: { readonly prototype: T },
  describe: (value: T) => Description,
): void {
  const described = (value: T): Description => {
    try {
      return describe(value);
    } catch {
      // The prototype itself, and objects derived from it, lack the private fields.
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
    // Non-enumerable, like declared methods.
    Object.defineProperty(kind.prototype, name, { value, writable: true, configurable: true });
  }
}

/** Describes a layer or router: its settings, and a table of its parameters. */
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

/** What the table shows of a parameter; a user-defined layer may list anything. */
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

/** Formats rows as aligned text and as cells, leaving out the middle of a long table. */
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

/** Such as `Tensor f32 [3, 4] on cpu` or `MoE on cpu: hidden 64, experts 8`. */
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

/** Turns `memoryInUse` into words. */
function spaced(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function factText(value: unknown): string {
  return Array.isArray(value) ? showShape(value) : String(value);
}

/** The content; null if the value is gone, and the reason if the device cannot be read. */
function contentOf({ content, place }: Description): Content | null {
  if (content === undefined) return null;
  if (place !== undefined && (!place.live || place.memory.closed)) return null;
  try {
    return content();
  } catch (error) {
    // Logging must not throw: the fault is an earlier operation's, whose caller gets the error.
    return { text: `  (cannot be read: ${error instanceof Error ? error.message : error})` };
  }
}

/** The headline and the content, on one line if it is short. */
function fullText(description: Description): string {
  const content = contentOf(description);
  if (content === null || content.text === "") return headline(description);
  return isShort(content)
    ? `${headline(description)}: ${content.text}`
    : `${headline(description)}\n${content.text}`;
}

function inspected(description: Description, options: InspectOptions): string {
  const { depth, indentationLvl = 0, seen = [] } = options;
  // Error messages show arguments at depth 0: they must not wait, nor span several lines.
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
