import { requireText, shown } from "../../arguments.ts";
import type { Document, TextSource } from "./document.ts";

/**
 * Makes a source of texts held in memory.
 *
 * @param texts The documents, in order.
 * @param name What messages call the source.
 * @returns The source.
 * @throws {TypeError} If one of them is not a string, or `texts` is itself a string.
 *
 * @example
 * ```ts
 * import { textsInMemory } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const source = textsInMemory(["One text.", "Another."]);
 * const documents = await Array.fromAsync(source.documents());
 * assertEquals(documents[1], { id: "text/1", text: "Another." });
 * ```
 */
export function textsInMemory(texts: Iterable<string>, name = "text"): TextSource {
  requireText("take texts", "name", name);
  // A string is iterable: each of its characters would become a document.
  if (typeof texts === "string" || typeof texts?.[Symbol.iterator] !== "function") {
    throw new TypeError(`Cannot take ${shown(texts)} as texts: give an array of strings`);
  }
  const documents: Document[] = Array.from(texts, (text, i) => {
    requireText(`take texts for ${name}`, `texts[${i}]`, text);
    return { id: `${name}/${i}`, text };
  });
  return {
    name,
    async *documents(): AsyncGenerator<Document> {
      yield* documents;
    },
  };
}
