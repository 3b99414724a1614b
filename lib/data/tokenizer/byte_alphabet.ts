/** The characters that stand for bytes in vocabularies of byte-level encodings such as GPT-2's. @module */

/** Bytes that stand for themselves: the printable ones of Latin-1, without the soft hyphen. */
const PRINTABLE: readonly (readonly [first: number, last: number])[] = [
  [0x21, 0x7e],
  [0xa1, 0xac],
  [0xae, 0xff],
];

/** The character of each byte. The others follow, in order, from U+0100. */
export const BYTE_CHARACTERS: readonly string[] = characters();

function characters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = PRINTABLE.some(([first, last]) => byte >= first && byte <= last);
    return String.fromCodePoint(isPrintable ? byte : next++);
  });
}

const BYTES: ReadonlyMap<string, number> = new Map(
  BYTE_CHARACTERS.map((character, byte) => [character, byte]),
);

/**
 * Returns the bytes that a token of a byte-level vocabulary stands for.
 *
 * @param token The token as the vocabulary writes it.
 * @returns Its bytes; null if a character stands for none.
 */
export function bytesOfToken(token: string): Uint8Array<ArrayBuffer> | null {
  const bytes = Array.from(token, (character) => BYTES.get(character));
  return bytes.includes(undefined) ? null : Uint8Array.from(bytes as number[]);
}
