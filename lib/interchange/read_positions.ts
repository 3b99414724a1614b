/** Reads how a model sees positions: rotary embeddings, windows, the longest sequence. @module */

import { ConfigError } from "../errors.ts";
import type { ConfigReader } from "./config_reader.ts";

/** What is read. */
export interface Positions {
  /** Base of the rotary embedding's wavelengths. */
  readonly ropeBase: number;
  /** Longest sequence. */
  readonly sequence: number;
}

/**
 * Reads the positions' keys.
 *
 * @param reader The open `config.json`.
 * @param theta The family's base, if the file states none.
 * @param sequence Longest sequence to use the model with; undefined: the longest it was made for.
 * @returns What they say.
 * @throws {ConfigError} Embeddings are scaled or partial, or a window is shorter than the sequence.
 */
export function readPositions(
  reader: ConfigReader,
  theta: number,
  sequence: number | undefined,
): Positions {
  const longest = reader.size("max_position_embeddings");
  if (sequence !== undefined && sequence > longest) {
    throw new ConfigError(
      `Cannot import ${reader.path}: sequence is ${sequence}, expected at most ` +
        `max_position_embeddings (${longest})`,
    );
  }
  const used = sequence ?? longest;
  refuseWindows(reader, used);
  return { ropeBase: readRopeBase(reader, theta), sequence: used };
}

/** The keys of a group of rotary settings that are read. */
const ROPE_KEYS: readonly string[] = [
  "rope_type",
  "type",
  "rope_theta",
  "partial_rotary_factor",
];

function readRopeBase(reader: ConfigReader, theta: number): number {
  const bases = [numberOr(reader, "rope_theta", reader.value("rope_theta"))];
  requireWhole(reader, "partial_rotary_factor", reader.value("partial_rotary_factor"));
  for (const name of ["rope_parameters", "rope_scaling"]) {
    const group = reader.value(name);
    if (group === null) continue;
    if (typeof group !== "object") reader.refuse(name, "expected a group of keys");
    const settings = group as Readonly<Record<string, unknown>>;
    for (const key of ["rope_type", "type"]) {
      const kind = settings[key] ?? "default";
      if (kind !== "default") {
        reader.refuse(`${name}.${key}`, `expected "default": scaled positions are not supported`);
      }
    }
    requireWhole(reader, `${name}.partial_rotary_factor`, settings["partial_rotary_factor"]);
    const other = Object.keys(settings)
      .find((key) => !ROPE_KEYS.includes(key) && settings[key] !== null);
    if (other !== undefined) reader.refuse(`${name}.${other}`, "which is not supported");
    bases.push(numberOr(reader, `${name}.rope_theta`, settings["rope_theta"]));
  }
  const [base, second] = new Set(bases.filter((value) => value !== null));
  if (second !== undefined) {
    reader.refuse("rope_theta", `and the rotary settings say ${second}; leave one of them out`);
  }
  return base ?? theta;
}

function numberOr(reader: ConfigReader, key: string, value: unknown): number | null {
  if (value === null || value === undefined) return null;
  return typeof value === "number" && value > 1
    ? value
    : reader.refuse(key, "expected a number above 1");
}

function requireWhole(reader: ConfigReader, key: string, factor: unknown): void {
  if (factor === null || factor === undefined || factor === 1) return;
  reader.refuse(key, "expected 1: partly rotated heads are not supported");
}

function refuseWindows(reader: ConfigReader, sequence: number): void {
  const types = reader.value("layer_types");
  const isFull = types === null ||
    Array.isArray(types) && types.every((type) => type === "full_attention");
  if (!isFull) reader.refuse("layer_types", `expected "full_attention" in every layer`);
  const window = reader.value("sliding_window");
  if (!reader.flag("use_sliding_window", true) || window === null) return;
  if (typeof window === "number" && window >= sequence) return;
  reader.refuse(
    "sliding_window",
    `shorter than the longest sequence (${sequence}): windows are not supported; import the model ` +
      `for shorter sequences`,
  );
}
