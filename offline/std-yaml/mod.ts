/**
 * Stand-in for `@std/yaml`, a port of js-yaml, through js-yaml itself.
 *
 * @module
 */

// @ts-types="npm:@types/js-yaml@^4.0.9"
import { dump, load, YAMLException } from "npm:js-yaml@^4.1.0";

/** How YAML is written. */
export interface StringifyOptions {
  /** Spaces of one level, default 2. */
  indent?: number;
  /** Longest line before text folds, default 80; -1 never folds. */
  lineWidth?: number;
  /** Whether keys are sorted, default false. */
  sortKeys?: boolean;
  /** Whether values without a YAML form are left out instead of refused, default false. */
  skipInvalid?: boolean;
}

/**
 * Reads one YAML document.
 *
 * @param content The text.
 * @returns Its value; `null` for an empty document.
 * @throws {SyntaxError} If the text is not YAML.
 */
export function parse(content: string): unknown {
  try {
    return load(content) ?? null;
  } catch (error) {
    if (error instanceof YAMLException) throw new SyntaxError(error.message, { cause: error });
    throw error;
  }
}

/**
 * Writes a value as a YAML document.
 *
 * @param data The value.
 * @param options Indentation, width, order and what to do with invalid values.
 * @returns The text.
 * @throws {TypeError} If a value, such as a function, has no YAML form.
 */
export function stringify(data: unknown, options: StringifyOptions = {}): string {
  try {
    return dump(data, options);
  } catch (error) {
    if (error instanceof YAMLException) throw new TypeError(error.message, { cause: error });
    throw error;
  }
}
