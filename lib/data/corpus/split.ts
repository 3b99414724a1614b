import { ConfigError } from "../../errors.ts";
import { shown } from "../arguments.ts";
import { checkDocument, type Document } from "../text/document.ts";
import { contentDigest, type DocumentSummary } from "../text/content_hash.ts";
import { DataError } from "../errors.ts";

/** The fraction of the text held back for validation by default. */
export const DEFAULT_VALIDATION_FRACTION: number = 1 / 20;

/** A draw that holds back more of the text than this is not used. */
const LARGEST_VALIDATION_SHARE = 0.75;

/** Which documents are for validation. */
export interface SplitPlan {
  /** For each document, whether all of it is for validation. */
  readonly validation: readonly boolean[];
  /** The documents of which only the tail is for validation: the longest one and its copies. */
  readonly cut?: ReadonlySet<number>;
}

/** Documents for training and documents for validation. */
export interface DocumentSplit {
  /** The documents to train on. */
  readonly train: readonly Document[];
  /** The documents held back. */
  readonly validation: readonly Document[];
}

/**
 * Decides which documents are for validation, by the rule of {@linkcode splitDocuments}.
 *
 * @param documents The documents, in order.
 * @param fraction The fraction to hold back for validation, in (0, 0.5].
 * @returns The plan; neither side is empty.
 * @throws {ConfigError} If the fraction is out of range.
 * @throws {DataError} If there are no documents.
 */
export function planSplit(documents: readonly DocumentSummary[], fraction: number): SplitPlan {
  if (!(typeof fraction === "number" && fraction > 0 && fraction <= 0.5)) {
    throw new ConfigError(
      `Cannot keep a fraction of ${
        shown(fraction)
      } for validation: it must be above 0 and at most 0.5`,
    );
  }
  if (documents.length === 0) throw new DataError("Cannot split the text: there are no documents");

  const validation = documents.map(({ digest }) => unitInterval(digest) < fraction);
  const total = documents.reduce((sum, { bytes }) => sum + bytes, 0);
  const kept = documents.reduce((sum, { bytes }, i) => validation[i] ? sum + bytes : sum, 0);
  if (kept > 0 && kept < total && kept <= LARGEST_VALIDATION_SHARE * total) return { validation };

  const longest = documents.reduce(
    (best, { bytes }, i) => bytes > documents[best]!.bytes ? i : best,
    0,
  );
  // A copy left uncut would put the tail into training.
  const { digest } = documents[longest]!;
  const isCopy = (other: Uint8Array): boolean => other.every((byte, i) => byte === digest[i]);
  const cut = documents.flatMap((each, i) => isCopy(each.digest) ? [i] : []);
  return { validation: documents.map(() => false), cut: new Set(cut) };
}

/**
 * Splits documents into a training and a validation side, as {@linkcode prepareCorpus} does with a
 * source.
 *
 * The side of a document depends only on the hash of its text: it is the same in every run and on
 * every machine, adding documents moves none of the others, and copies of a text never land on both
 * sides. The draw may leave a side empty, as it must with one document, or hold back more than
 * three quarters of the text, as it may with a few. Then the tail of the longest document is held
 * back instead, from the start of a paragraph, line or word, and the rest is trained on.
 *
 * @param documents The documents, in order.
 * @param fraction The fraction to hold back for validation, in (0, 0.5].
 * @returns Both sides, each in the order given; neither is empty. A document whose tail is cut off
 * occurs on both, under one id.
 * @throws {ConfigError} If the fraction is out of range.
 * @throws {DataError} If there are no documents, or the one to cut has a single character.
 * @throws {TypeError} If one of them is not a document.
 *
 * @example
 * ```ts
 * import { splitDocuments } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * const lines = Array.from({ length: 100 }, (_, i) => `Line ${i}.\n`).join("");
 * const { train, validation } = splitDocuments([{ id: "lines", text: lines }], 0.1);
 * assertEquals(train[0]?.text.endsWith("Line 89.\n"), true);
 * assertEquals(validation[0]?.text.startsWith("Line 90.\n"), true);
 * ```
 */
export function splitDocuments(
  documents: readonly Document[],
  fraction: number = DEFAULT_VALIDATION_FRACTION,
): DocumentSplit {
  if (!Array.isArray(documents)) {
    throw new TypeError(`Cannot split ${shown(documents)}: give an array of documents`);
  }
  for (const [i, document] of documents.entries()) checkDocument(document, `split document ${i}`);
  const plan = planSplit(documents.map(({ text }) => contentDigest(text)), fraction);
  const train: Document[] = [];
  const validation: Document[] = [];
  for (const [i, document] of documents.entries()) {
    const parts = partsOf(plan, i, document, fraction);
    train.push(...parts.train);
    validation.push(...parts.validation);
  }
  return { train, validation };
}

/**
 * Applies a plan to one document.
 *
 * @param plan The plan.
 * @param index The document's index in the plan.
 * @param document The document.
 * @param fraction The fraction the plan was made with.
 * @returns The document on its side, or its two parts.
 * @throws {DataError} If it must be cut and has a single character.
 */
export function partsOf(
  plan: SplitPlan,
  index: number,
  document: Document,
  fraction: number,
): DocumentSplit {
  if (plan.validation[index]) return { train: [], validation: [document] };
  if (!plan.cut?.has(index)) return { train: [document], validation: [] };
  const { text } = document;
  const at = tailStart(text, fraction);
  if (at === 0) {
    throw new DataError(
      `Cannot keep a tail of ${document.id} for validation: the text has a single character, ` +
        `give more`,
    );
  }
  return {
    train: [{ ...document, text: text.slice(0, at) }],
    validation: [{ ...document, text: text.slice(at) }],
  };
}

/**
 * Finds where the tail of a text begins: after the last paragraph, line or word that ends before
 * the last `fraction` of it. The search covers half a tail's length, so that the tail stays about
 * as long as asked. Otherwise the cut falls between two characters; 0 if there is no such place.
 */
function tailStart(text: string, fraction: number): number {
  const exact = Math.min(text.length - 1, Math.floor(text.length * (1 - fraction)));
  const earliest = exact - Math.floor((text.length - exact) / 2);
  for (const boundary of ["\n\n", "\n", " "]) {
    const at = text.slice(earliest, exact).lastIndexOf(boundary);
    if (at >= 0) return earliest + at + boundary.length;
  }
  const low = text.charCodeAt(exact);
  const splitsPair = low >= 0xdc00 && low <= 0xdfff && exact > 0;
  if (!splitsPair) return exact;
  if (exact > 1) return exact - 1;
  // The pair is the first character: cut after it, if anything follows.
  return exact + 1 < text.length ? exact + 1 : 0;
}

/** Maps the first 48 bits of a hash to [0, 1), exactly in a double. */
function unitInterval(digest: Uint8Array): number {
  let value = 0;
  for (const byte of digest.subarray(0, 6)) value = value * 256 + byte;
  return value / 2 ** 48;
}
