/** The character classes GPT-2 distinguishes; `UNKNOWN` marks a code point not yet classified. */
const UNKNOWN = 0, OTHER = 1, LETTER = 2, NUMBER = 3, WHITE = 4;

const SPACE = 0x20;
const APOSTROPHE = 0x27;

/**
 * Splits text into the pieces that GPT-2 encodes one by one. GPT-2's pattern is
 * `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, where `\s` is
 * Unicode's `White_Space`. JavaScript's `\s` differs: it includes U+FEFF and excludes U+0085.
 * Matching by hand also handles runs of any length, which can overflow a backtracking engine's
 * stack.
 */
export class Gpt2Pieces {
  /** The contractions GPT-2 splits off a word, without the apostrophe. */
  readonly #contractions = /[sdmt]|ll|ve|re/y;
  /** The class of each code point, filled in on first use. */
  readonly #classes = new Uint8Array(0x110000);

  /**
   * Finds the end of a piece.
   *
   * @param text Well-formed text.
   * @param start Where the piece begins, before the text's end.
   * @returns Where the next piece begins.
   */
  end(text: string, start: number): number {
    const first = text.charCodeAt(start);
    if (first === APOSTROPHE) {
      this.#contractions.lastIndex = start + 1;
      if (this.#contractions.test(text)) return this.#contractions.lastIndex;
    }
    const at = first === SPACE && start + 1 < text.length ? start + 1 : start;
    const kind = this.#classAt(text, at);
    if (kind !== WHITE) return this.#runEnd(text, at, kind);
    const end = this.#runEnd(text, start, WHITE);
    // The last space before a word belongs to the word.
    return end === text.length || end === start + 1 ? end : end - 1;
  }

  #runEnd(text: string, start: number, kind: number): number {
    let at = start;
    while (at < text.length && this.#classAt(text, at) === kind) {
      at += text.codePointAt(at)! > 0xffff ? 2 : 1;
    }
    return at;
  }

  #classAt(text: string, at: number): number {
    const codePoint = text.codePointAt(at)!;
    const known = this.#classes[codePoint]!;
    return known === UNKNOWN ? this.#classes[codePoint] = classOf(codePoint) : known;
  }
}

function classOf(codePoint: number): number {
  const character = String.fromCodePoint(codePoint);
  if (/\p{L}/u.test(character)) return LETTER;
  if (/\p{N}/u.test(character)) return NUMBER;
  return /\p{White_Space}/u.test(character) ? WHITE : OTHER;
}
