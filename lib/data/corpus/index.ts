/**
 * What is known of texts that were prepared before, so that they need not be read as documents
 * again to be known.
 *
 * @module
 */

import { dirname, join } from "node:path";

import { writeAtomically } from "../../files.ts";
import { sha256 } from "../text/content_hash.ts";
import type { PassedOver, TextSource } from "../text/document.ts";

/** What was found when sources were read. */
export interface KnownText {
  /** For each source, what identifies its content. */
  readonly identities: readonly string[];
  /** The key of the cached tokens. */
  readonly key: string;
  /** What the reading passed over. */
  readonly passedOver: readonly PassedOver[];
}

/**
 * One entry: found by the names of the sources, which cost nothing, and good only if the content is
 * still what was read. A text never seen is therefore not hashed before it is read anyway.
 */
export class CorpusIndex {
  readonly #path: string;
  readonly #sources: readonly TextSource[];

  /**
   * Names an entry; nothing is read yet.
   *
   * @param root The folder of all cached tokens.
   * @param sources The texts.
   * @param settings All else that the tokens depend on.
   */
  constructor(root: string, sources: readonly TextSource[], settings: unknown) {
    const facts = JSON.stringify([sources.map(({ name }) => name), settings]);
    this.#path = join(root, "index", sha256(facts).slice(0, 32));
    this.#sources = sources;
  }

  /**
   * Looks for the sources as they are now.
   *
   * @returns What is known; undefined where they are not known, or have changed.
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
   * Keeps what was found. It only saves time: where it cannot be written, the text is read again.
   *
   * @param known What was found.
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
      /^[0-9a-f]{32}$/.test(String(known.key));
    return isWhole ? known as KnownText : undefined;
  } catch {
    return undefined;
  }
}
