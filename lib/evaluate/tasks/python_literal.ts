/** Lists, dictionaries and texts as Python prints them: RACE's data set keeps its problems so. @module */

/** One-letter escapes. */
const ESCAPES: Readonly<Record<string, string>> = {
  ...{ n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", v: "\v", a: "\x07" },
  ...{ "\\": "\\", "'": "'", '"': '"', "\n": "" },
};

/**
 * Parses a literal of Python.
 *
 * @param text Lists, dictionaries with text keys, texts, whole numbers, True, False and None.
 * @returns The value; undefined if the text is no such literal.
 */
export function pythonLiteral(text: string): unknown {
  const parser = new Parser(text);
  try {
    return parser.whole();
  } catch (error) {
    if (error instanceof NotALiteral) return undefined;
    throw error;
  }
}

class NotALiteral extends Error {}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): unknown {
    const value = this.#value();
    this.#space();
    if (this.#at < this.#text.length) throw new NotALiteral();
    return value;
  }

  #value(): unknown {
    this.#space();
    const next = this.#text[this.#at];
    if (next === "[") return this.#list("[", "]", () => this.#value());
    if (next === "{") return Object.fromEntries(this.#list("{", "}", () => this.#entry()));
    if (next === "'" || next === '"') return this.#string(next);
    const [word] = this.#match(/(?:True|False|None|-?\d+)\b/y);
    const names: Record<string, unknown> = { True: true, False: false, None: null };
    return Object.hasOwn(names, word) ? names[word] : Number(word);
  }

  #entry(): [string, unknown] {
    this.#space();
    const quote = this.#text[this.#at];
    if (quote !== "'" && quote !== '"') throw new NotALiteral();
    const key = this.#string(quote);
    this.#take(":");
    return [key, this.#value()];
  }

  #list<T>(open: string, close: string, element: () => T): T[] {
    const elements: T[] = [];
    this.#take(open);
    while (!this.#takes(close)) {
      elements.push(element());
      if (this.#takes(",")) continue;
      this.#take(close);
      break;
    }
    return elements;
  }

  #string(quote: string): string {
    this.#at++;
    let text = "";
    for (;;) {
      const next = this.#text[this.#at++];
      if (next === undefined || next === "\n") throw new NotALiteral();
      if (next === quote) return text;
      text += next === "\\" ? this.#escape() : next;
    }
  }

  #escape(): string {
    const letter = this.#text[this.#at++] ?? "";
    const digits = { x: 2, u: 4, U: 8 }[letter];
    if (digits !== undefined) {
      const [hex] = this.#match(new RegExp(`[0-9a-fA-F]{${digits}}`, "y"));
      const point = parseInt(hex, 16);
      if (point > 0x10ffff) throw new NotALiteral();
      return String.fromCodePoint(point);
    }
    if (!Object.hasOwn(ESCAPES, letter)) throw new NotALiteral();
    return ESCAPES[letter]!;
  }

  #space(): void {
    this.#match(/\s*/y);
  }

  #takes(mark: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== mark) return false;
    this.#at++;
    return true;
  }

  #take(mark: string): void {
    if (!this.#takes(mark)) throw new NotALiteral();
  }

  #match(pattern: RegExp): RegExpExecArray {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) throw new NotALiteral();
    this.#at = pattern.lastIndex;
    return match;
  }
}
