import type { Document, TextSource } from "./document.ts";

/**
 * Makes a source of texts held in memory.
 *
 * @param texts The documents, in order.
 * @param name What messages call the source.
 * @returns The source.
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
  const documents: Document[] = Array.from(texts, (text, i) => ({ id: `${name}/${i}`, text }));
  return {
    name,
    async *documents(): AsyncGenerator<Document> {
      yield* documents;
    },
  };
}
