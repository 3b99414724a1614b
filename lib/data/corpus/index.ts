/**
 * An index of texts prepared before, so that they are recognised without being read as documents
 * again.
 *
 * @module
 */

import { dirname, join } from "node:path";

import { writeAtomically } from "../../files.ts";
import { sha256 } from "../text/content_hash.ts";
import type { PassedOver, TextSource } from "../text/document.ts";

/** What is known about sources that were read. */
export interface KnownText {
  /** The identity of each source's content. */
  readonly identities: readonly string[];
  /** The key of the cached tokens. */
  readonly key: string;
  /** `Corpus.contentHash` of the text. */
  readonly contentHash: string;
  /** What the reading skipped. */
  readonly passedOver: readonly PassedOver[];
}

/**
 * An entry of the index. It is looked up by the names of the sources, which costs nothing, and is
 * valid only if their content has not changed. A new text is thus never hashed before it is read.
 */
export class CorpusIndex {
  readonly #path: string;
  readonly #sources: readonly TextSource[];

  /**
   * Locates an entry without reading it.
   *
   * @param root The root of the token cache.
   * @param sources The texts.
   * @param settings Everything else the tokens depend on.
   */
  constructor(root: string, sources: readonly TextSource[], settings: unknown) {
    const facts = JSON.stringify([sources.map(({ name }) => name), settings]);
    this.#path = join(root, "index", sha256(facts).slice(0, 32));
    this.#sources = sources;
  }

  /**
   * Looks up the sources as they are now.
   *
   * @returns What is known; undefined if they are unknown or have changed.
   */
  async find(): Promise<KnownText | undefined> {
    const known = parse(await Deno.readTextFile(this.#path).catch(() => ""));
    if (known === undefined) return undefined;
    for (const [i, source] of this.#sources.entries()) {
      const identity = source.fingerprint ?? await source.identify?.();
      if (identity === undefined || identity !== known.identities[i]) return undefined;
    }
    return known;
  }

  /**
   * Stores an entry. It only saves time: if it cannot be written, the text is read again.
   *
   * @param known The entry.
   */
  async remember(known: KnownText): Promise<void> {
    try {
      await Deno.mkdir(dirname(this.#path), { recursive: true });
      writeAtomically(this.#path, JSON.stringify(known));
    } catch (error) {
      if (!(error instanceof Error)) throw error;
    }
  }
}

function parse(text: string): KnownText | undefined {
  try {
    const known: Partial<KnownText> | null = JSON.parse(text);
    const isWhole = Array.isArray(known?.identities) && Array.isArray(known.passedOver) &&
      /^[0-9a-f]{32}$/.test(String(known.key)) &&
      // Entries of earlier versions lack it: their text is read again, but not tokenized.
      /^[0-9a-f]{64}$/.test(String(known.contentHash));
    return isWhole ? known as KnownText : undefined;
  } catch {
    return undefined;
  }
}
