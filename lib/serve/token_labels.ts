/** Names of tokens in answers. @module */

import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";

/** Names the end of a document, whatever the tokenizer. */
const END = "<|endoftext|>";

/**
 * Names a token: by its text, or by its bytes if they are not complete characters. Ids without any,
 * such as those that pad a vocabulary, are named by their number. Clients look tokens up by these
 * names, so one that is taken must not be used for another token.
 *
 * @param id The token.
 * @param tokenizer Its tokenizer.
 * @param isTaken Whether another token has a name already.
 * @returns The name.
 */
export function tokenLabel(
  id: number,
  tokenizer: Tokenizer,
  isTaken: (name: string) => boolean = () => false,
): string {
  const name = nameOf(id, tokenizer);
  return isTaken(name) ? numbered(id) : name;
}

function nameOf(id: number, tokenizer: Tokenizer): string {
  if (id === tokenizer.endOfDocument) return END;
  if (id >= tokenizer.vocabularySize) return numbered(id);
  const bytes = tokenizer.bytesOf([id]);
  if (bytes.length === 0) return numbered(id);
  try {
    // Not decode(): it may drop a space at the beginning, which tells two tokens apart.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `bytes:${Array.from(bytes, hexadecimal).join("")}`;
  }
}

function numbered(id: number): string {
  return `token_id:${id}`;
}

function hexadecimal(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}
