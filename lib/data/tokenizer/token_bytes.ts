/** The bytes that each token of a `tokenizer.json` stands for. @module */

import { DataError } from "../errors.ts";
import { bytesOfToken } from "./byte_alphabet.ts";
import { REPLACEMENT } from "./decode_documents.ts";
import { type DecoderJson, type TokenizerJson, tokensOf } from "./tokenizer_file.ts";

/** How a `tokenizer.json` decodes. */
export interface TokenBytes {
  /** Bytes of each token by its id; none for special tokens. */
  readonly bytes: readonly Uint8Array[];
  /** Whether a document's tokens begin with a space that its text does not have. */
  readonly stripsSpace: boolean;
}

/** A way of writing bytes as tokens. */
interface Alphabet {
  readonly bytesOf: (token: string) => Uint8Array;
  readonly stripsSpace: boolean;
}

/**
 * Lists the bytes of each token.
 *
 * @param path The file, for errors.
 * @param json What it holds.
 * @param vocabulary Number of ids.
 * @returns The bytes.
 * @throws {DataError} Its decoder is none of the kinds known here.
 */
export function tokenBytes(path: string, json: TokenizerJson, vocabulary: number): TokenBytes {
  const steps = stepsOf(json.decoder);
  const names = steps.map(({ type }) => type);
  const { bytesOf, stripsSpace } = names.includes("ByteLevel")
    ? byteLevel(steps)
    : spaced(steps) ?? refuse(path, names);
  // An id without a token is never encoded; a model may still emit it.
  const bytes: Uint8Array[] = new Array(vocabulary).fill(REPLACEMENT);
  for (const [token, id] of tokensOf(json)) bytes[id] = bytesOf(token);
  for (const { id, content, special } of json.added_tokens) {
    bytes[id] = special ? new Uint8Array(0) : encoder.encode(content);
  }
  return { bytes, stripsSpace };
}

const encoder = new TextEncoder();

/** A decoder's steps in order. */
function stepsOf(decoder: DecoderJson | null): readonly DecoderJson[] {
  if (decoder === null || decoder === undefined) return [];
  return decoder.type === "Sequence" ? (decoder.decoders ?? []).flatMap(stepsOf) : [decoder];
}

/** GPT-2's alphabet: a character per byte. */
function byteLevel(steps: readonly DecoderJson[]): Alphabet {
  const bytesOf = (token: string) => bytesOfToken(token) ?? encoder.encode(token);
  return { bytesOf, stripsSpace: stripsSpace(steps) };
}

/** Llama's: text with a mark for spaces, and tokens like `<0x0A>` for bytes of other characters. */
function spaced(steps: readonly DecoderJson[]): Alphabet | null {
  const known = ["Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"];
  const mark = steps.find(({ type }) => type === "Metaspace")?.replacement ??
    steps.find(({ type, content }) => type === "Replace" && content === " ")?.pattern?.String;
  if (mark === undefined || steps.some(({ type }) => !known.includes(type))) return null;
  const hasBytes = steps.some(({ type }) => type === "ByteFallback");
  const bytesOf = (token: string) => {
    const [, digits] = hasBytes ? /^<0x([0-9A-Fa-f]{2})>$/.exec(token) ?? [] : [];
    return digits === undefined
      ? encoder.encode(token.replaceAll(mark, " "))
      : Uint8Array.of(parseInt(digits, 16));
  };
  return { bytesOf, stripsSpace: stripsSpace(steps) };
}

/** Whether decoding removes the first space. */
function stripsSpace(steps: readonly DecoderJson[]): boolean {
  return steps.some(({ type, ...step }) =>
    type === "Strip" ? step.content === " " && (step.start ?? 0) > 0 : type === "Metaspace" &&
      (step.prepend_scheme ?? (step.add_prefix_space === false ? "never" : "always")) !== "never"
  );
}

function refuse(path: string, names: readonly string[]): never {
  throw new DataError(
    `Cannot use the tokenizer ${path}: its decoder is ${names.join(", ") || "absent"}, expected ` +
      `ByteLevel, Metaspace, or Replace with ByteFallback`,
  );
}
