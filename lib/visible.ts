/**
 * Escapes control characters in text from files, paths and models, which could move a terminal's
 * cursor, reverse the direction of writing or make an SVG invalid.
 *
 * @module
 */

/** Control characters, lone surrogates, bidirectional marks, and characters that XML forbids. */
const HIDDEN = /[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069\ufffe\uffff]/gu;

/**
 * Escapes the control characters of a text, except newlines.
 *
 * @param text Any text. JSON keeps its meaning.
 * @returns The text, with `\u001b` for an escape character.
 */
export function visible(text: string): string {
  return text.replaceAll(
    HIDDEN,
    (character) => character === "\n" ? character : escaped(character),
  );
}

/**
 * Escapes all control characters of a name, newlines included: it is shown within a line.
 *
 * @param name Any text.
 * @returns The name, with `\u000a` for a newline.
 */
export function visibleName(name: string): string {
  return name.replaceAll(HIDDEN, escaped);
}

/**
 * Lists the first few names, as in `a, b, c and 2 more`.
 *
 * @param names Any texts.
 * @returns At most three of them, and the number of the others.
 */
export function listed(names: readonly string[]): string {
  const most = 3;
  const shown = names.slice(0, most).map(visibleName).join(", ");
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
