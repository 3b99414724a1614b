/**
 * Showing text from files, paths and models where control characters would do something: move a
 * terminal's cursor, turn the direction of writing, or make a drawing that no reader opens.
 *
 * @module
 */

/** Control characters, half surrogate pairs, marks of direction, and what XML forbids. */
const HIDDEN = /[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069\ufffe\uffff]/gu;

/**
 * Shows the control characters of a text but newlines.
 *
 * @param text Any text; of JSON the meaning stays.
 * @returns The text, with `\u001b` for an escape.
 */
export function visible(text: string): string {
  return text.replaceAll(
    HIDDEN,
    (character) => character === "\n" ? character : escaped(character),
  );
}

/**
 * Shows all control characters of a name, which stands in a line.
 *
 * @param name Any text.
 * @returns The name, with `\u000a` for a newline.
 */
export function visibleName(name: string): string {
  return name.replaceAll(HIDDEN, escaped);
}

/**
 * Shows the first of some names, as `a, b, c and 2 more`.
 *
 * @param names Any texts.
 * @returns At most three of them, and how many there are besides.
 */
export function listed(names: readonly string[]): string {
  const most = 3;
  const shown = names.slice(0, most).map(visibleName).join(", ");
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
