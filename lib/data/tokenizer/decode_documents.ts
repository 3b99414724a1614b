import { checkArrayLike, endOfDocumentOf } from "../arguments.ts";
import type { DecodeOptions, Tokenizer } from "./tokenizer.ts";

/** U+FFFD in UTF-8, which stands for ids outside the vocabulary. */
export const REPLACEMENT: Uint8Array<ArrayBuffer> = Uint8Array.of(0xef, 0xbf, 0xbd);

/**
 * Decodes tokens document by document: parts of a character must not join across the end of one.
 *
 * @param tokenizer The tokenizer of the tokens.
 * @param tokens Token ids.
 * @param options How to show the end of a document.
 * @returns The text.
 */
export function decodeDocuments(
  tokenizer: Pick<Tokenizer, "bytesOf" | "endOfDocument">,
  tokens: ArrayLike<number>,
  options: DecodeOptions,
): string {
  checkArrayLike(tokens, "decode tokens");
  const shownEnd = endOfDocumentOf(options);
  const documents: string[] = [];
  const all = Array.from(tokens);
  for (let start = 0; start <= all.length;) {
    const found = all.indexOf(tokenizer.endOfDocument, start);
    const end = found < 0 ? all.length : found;
    const bytes = tokenizer.bytesOf(all.slice(start, end));
    documents.push(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
    start = end + 1;
  }
  return documents.join(shownEnd);
}
