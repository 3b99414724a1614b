import { createHash } from "node:crypto";

/** What a split needs to know about a document, so that texts need not be in memory. */
export interface DocumentSummary {
  /** SHA-256 of the text. */
  readonly digest: Uint8Array;
  /** Bytes of the text in UTF-8. */
  readonly bytes: number;
  /** What kind of text it is. */
  readonly domain?: string;
}

/** Hashes a text's UTF-8 and counts its bytes. */
export function contentDigest(text: string): DocumentSummary {
  const bytes = new TextEncoder().encode(text);
  return { digest: createHash("sha256").update(bytes).digest(), bytes: bytes.length };
}

/** Hashes the concatenation of parts: SHA-256 in hexadecimal. */
export function sha256(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** Hashes the documents of texts, including their domains: SHA-256 in hexadecimal. */
export function hashDocuments(texts: readonly (readonly DocumentSummary[])[]): string {
  const hash = createHash("sha256");
  for (const documents of texts) {
    for (const { digest, domain } of documents) hash.update(digest).update(`${domain ?? ""}\0`);
  }
  return hash.digest("hex");
}
