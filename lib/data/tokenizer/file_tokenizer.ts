import { requireText } from "../../arguments.ts";
import { checkArrayLike, checkWellFormed } from "../arguments.ts";
import { DataError } from "../errors.ts";
import { decodeDocuments, REPLACEMENT } from "./decode_documents.ts";
import { tokenBytes } from "./token_bytes.ts";
import type { DecodeOptions, Tokenizer } from "./tokenizer.ts";
import { readTokenizerJson, type TokenizerFile, type TokenizerJson } from "./tokenizer_file.ts";

const PACKAGE = "npm:@huggingface/tokenizers@0.2.0";

/** The part of the package that is used. */
interface Encoder {
  encode(
    text: string,
    options: { readonly add_special_tokens: boolean },
  ): { readonly ids: readonly (number | undefined)[] };
}

/** The package's exports that are used. */
interface EncoderPackage {
  readonly Tokenizer: new (tokenizer: object, config: object) => Encoder;
}

/**
 * Loads a tokenizer from a `tokenizer.json`. Its byte pairs are applied by an npm package (1 MB),
 * fetched on first use; decoding is this project's own, since it works on bytes.
 *
 * @param file The file's description.
 * @returns The tokenizer.
 * @throws {DataError} If the file has changed or cannot be used, or the package cannot be loaded.
 */
export async function loadFileTokenizer(file: TokenizerFile): Promise<Tokenizer> {
  const { json, sha256 } = readTokenizerJson(file.path);
  if (sha256 !== file.sha256) {
    throw new DataError(
      `Cannot use the tokenizer ${file.path}: it has changed (SHA-256); put it back as it was`,
    );
  }
  let loaded: EncoderPackage;
  try {
    // Not a literal: Deno fetches what a literal import() names as soon as the program starts.
    loaded = await import(PACKAGE);
  } catch (cause) {
    throw new DataError(
      `Cannot load the tokenizer ${file.path}: ${PACKAGE} comes from npm, so connect to the ` +
        `network once`,
      { cause },
    );
  }
  try {
    return new FileTokenizer(file, json, new loaded.Tokenizer(withoutSpecial(json), {}));
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`Cannot use the tokenizer ${file.path}: ${reason}`, { cause });
  }
}

/** The same without special tokens: a text that spells one out is text, not the end of it. */
function withoutSpecial(json: TokenizerJson): TokenizerJson {
  return { ...json, added_tokens: json.added_tokens.filter(({ special }) => !special) };
}

class FileTokenizer implements Tokenizer {
  readonly name: string;
  readonly vocabularySize: number;
  readonly endOfDocument: number;
  readonly beginOfDocument: number;
  readonly #path: string;
  readonly #encoder: Encoder;
  readonly #bytes: readonly Uint8Array[];
  readonly #stripsSpace: boolean;

  constructor(file: TokenizerFile, json: TokenizerJson, encoder: Encoder) {
    const { bytes, stripsSpace } = tokenBytes(file.path, json, file.vocabulary);
    this.name = `file-${file.sha256}`;
    this.vocabularySize = file.vocabulary;
    this.endOfDocument = file.end_of_document;
    this.beginOfDocument = file.begin_of_document ?? file.end_of_document;
    this.#path = file.path;
    this.#encoder = encoder;
    this.#bytes = bytes;
    this.#stripsSpace = stripsSpace;
  }

  encode(text: string): Int32Array<ArrayBuffer> {
    requireText("encode", "text", text);
    checkWellFormed("encode", "the text", text);
    const { ids } = this.#encoder.encode(text, { add_special_tokens: false });
    const unknown = ids.findIndex((id) => id === undefined);
    if (unknown < 0) return Int32Array.from(ids as number[]);
    throw new DataError(
      `Cannot encode the text: ${this.#path} has no token for a part of it, and none for unknown ` +
        `text`,
    );
  }

  decode(tokens: ArrayLike<number>, options: DecodeOptions = {}): string {
    const { endOfDocument } = this;
    const bytesOf = (ids: ArrayLike<number>): Uint8Array<ArrayBuffer> => {
      const bytes = this.bytesOf(ids);
      return bytes.subarray(this.#stripsSpace && bytes[0] === SPACE ? 1 : 0);
    };
    return decodeDocuments({ endOfDocument, bytesOf }, tokens, options);
  }

  bytesOf(tokens: ArrayLike<number>): Uint8Array<ArrayBuffer> {
    const parts = [...this.#parts(tokens)];
    const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let offset = 0;
    for (const part of parts) {
      bytes.set(part, offset);
      offset += part.length;
    }
    return bytes;
  }

  byteLength(tokens: ArrayLike<number>): number {
    let length = 0;
    for (const part of this.#parts(tokens)) length += part.length;
    return length;
  }

  /**
   * The bytes of each token. Some tokenizers begin each document with a space that is not in the
   * text: it is dropped where a document visibly begins, but not from the first token, which may
   * continue one.
   */
  *#parts(tokens: ArrayLike<number>): Generator<Uint8Array> {
    checkArrayLike(tokens, "read the bytes of tokens");
    let begins = false;
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      const bytes = this.#bytes[token] ?? REPLACEMENT;
      const isSpace = this.#stripsSpace && begins && bytes[0] === SPACE;
      if (bytes.length > 0) yield isSpace ? bytes.subarray(1) : bytes;
      if (token === this.endOfDocument || token === this.beginOfDocument) begins = true;
      else if (bytes.length > 0) begins = false;
    }
  }
}

const SPACE = 0x20;
