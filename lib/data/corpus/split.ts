import { ConfigError } from "../../errors.ts";
import { shown } from "../arguments.ts";
import { checkDocument, type Document } from "../text/document.ts";
import { contentDigest, type DocumentSummary } from "../text/content_hash.ts";
import { DataError } from "../errors.ts";

/** The share of text kept for validation unless another is asked for. */
export const DEFAULT_VALIDATION_FRACTION: number = 1 / 20;

/** A draw that keeps more of the text than this for validation is not used. */
const LARGEST_VALIDATION_SHARE = 0.75;

/** Which documents are for validation. */
export interface SplitPlan {
  /** For each document, whether it is for validation as a whole. */
  readonly validation: readonly boolean[];
  /** The documents whose tail alone is for validation: the longest one and its copies. */
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
 * Decides which documents are for validation, by the rule {@linkcode splitDocuments} states.
 *
 * @param documents The documents, in order.
 * @param fraction The share to keep for validation, in (0, 0.5].
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
  // A copy that was left whole would train on the tail.
  const { digest } = documents[longest]!;
  const isCopy = (other: Uint8Array): boolean => other.every((byte, i) => byte === digest[i]);
  const cut = documents.flatMap((each, i) => isCopy(each.digest) ? [i] : []);
  return { validation: documents.map(() => false), cut: new Set(cut) };
}

/**
 * Splits documents into those to train on and those for validation, as {@linkcode prepareCorpus}
 * does with a source.
 *
 * A document is drawn by the hash of its text alone: the choice is the same in every run and on
 * every machine, adding documents moves none of the others, and copies of a text never end on both
 * sides. Where the draw leaves a side empty, as it must with one document, or more than three
 * quarters of the text for validation, as it may with a few, the tail of the longest document is
 * kept for validation instead, from the start of a paragraph, line or word, and the rest trains.
 *
 * @param documents The documents, in order.
 * @param fraction The share to keep for validation, in (0, 0.5].
 * @returns Both sides, each in the order given; neither is empty. A document whose tail is cut off
 * occurs on both, under one id.
 * @throws {ConfigError} If the fraction is out of range.
 * @throws {DataError} If there are no documents, or only one of a single character.
 * @throws {TypeError} If one of them is no document.
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
 * Carries out a plan for one document.
 *
 * @param plan The plan.
 * @param index The document's place in the order planned.
 * @param document The document.
 * @param fraction The fraction planned with.
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
      `Cannot keep a tail of ${document.id} for validation: the text has a single character, give more`,
    );
  }
  return {
    train: [{ ...document, text: text.slice(0, at) }],
    validation: [{ ...document, text: text.slice(at) }],
  };
}

/**
 * Finds where the tail of a text begins: after the last paragraph, else line, else word which ends
 * before the last `fraction`, looked for over half a tail's length so that the tail stays about as
 * long as asked; else between two characters. 0 where there is no place.
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
  // The pair is the first character: the second one begins behind it.
  return exact + 1 < text.length ? exact + 1 : 0;
}

/** The first 48 bits of a hash as a fraction of one: exact in a double. */
function unitInterval(digest: Uint8Array): number {
  let value = 0;
  for (const byte of digest.subarray(0, 6)) value = value * 256 + byte;
  return value / 2 ** 48;
}
