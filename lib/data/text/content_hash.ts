import { createHash } from "node:crypto";

import type { DocumentSummary } from "../corpus/split.ts";

/** Hashes a text's UTF-8 and counts its bytes. */
export function contentDigest(text: string): DocumentSummary {
  const bytes = new TextEncoder().encode(text);
  return { digest: createHash("sha256").update(bytes).digest(), bytes: bytes.length };
}

/** SHA-256 in hexadecimal of parts one after another. */
export function sha256(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** SHA-256 in hexadecimal of the documents of texts, their domains included. */
export function hashDocuments(texts: readonly (readonly DocumentSummary[])[]): string {
  const hash = createHash("sha256");
  for (const documents of texts) {
    for (const { digest, domain } of documents) hash.update(digest).update(`${domain ?? ""}\0`);
  }
  return hash.digest("hex");
}
