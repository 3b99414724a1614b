/** An even sample of a sequence whose length is not known beforehand. @module */

import { drawWords } from "../data/batches/philox.ts";

/**
 * Keeps one text of every n, with n doubled whenever they grow too long. Which of the n is drawn by
 * their positions: every n-th would see a single phase of texts that alternate.
 */
export class EvenSample {
  readonly #most: number;
  #kept: { readonly index: number; readonly text: string }[] = [];
  #characters = 0;
  #seen = 0;
  /** The binary logarithm of n. */
  #level = 0;

  /** Starts empty; keeps at least `most` characters if there are that many. */
  constructor(most: number) {
    this.#most = most;
  }

  /** The texts kept, in order. */
  get texts(): string[] {
    return this.#kept.map(({ text }) => text);
  }

  /** Offers a text. */
  add(text: string): void {
    const index = this.#seen++;
    for (let level = 1; level <= this.#level; level++) if (!isDrawn(index, level)) return;
    this.#kept.push({ index, text });
    this.#characters += text.length;
    while (this.#characters > 2 * this.#most && this.#halve());
  }

  /** Drops one of each two, unless too little would be left. */
  #halve(): boolean {
    const kept = this.#kept.filter(({ index }) => isDrawn(index, this.#level + 1));
    const characters = kept.reduce((sum, { text }) => sum + text.length, 0);
    if (characters < this.#most) return false;
    this.#level++;
    this.#kept = kept;
    this.#characters = characters;
    return true;
  }
}

/**
 * Draws a window from each of as many equal stretches of a text as there are rows.
 *
 * @param row The row, from 0.
 * @param rows How many there are.
 * @param windows Windows of the text, at least as many.
 * @returns The row's window; windows ascend with the rows.
 */
export function drawnWindow(row: number, rows: number, windows: number): number {
  const [from, to] = [row, row + 1].map((at) => Math.floor(at * windows / rows)) as [
    number,
    number,
  ];
  return from + Math.floor(randomWord(row, 0) / 2 ** 32 * (to - from));
}

/** Whether a text's half of its group of 2^level is the one that is kept. */
function isDrawn(index: number, level: number): boolean {
  const half = Math.floor(index / 2 ** (level - 1)) % 2;
  return half === (randomWord(Math.floor(index / 2 ** level), level) & 1);
}

const WORDS = new Uint32Array(4);

/** A random word that depends on its arguments alone. */
function randomWord(index: number, level: number): number {
  return drawWords([index >>> 0, level, 0, 0], [0, 0], WORDS)[0]!;
}
