const BYTES = 256;
/** A pair of tokens is a 32-bit key. */
const MOST_TOKENS = 2 ** 16;
/** Splits a heap entry into a rank and a position. */
const PLACES = 2 ** 32;
/** Spreads the keys: odd, and near 2^32 divided by the golden ratio (Fibonacci hashing). */
const SPREAD = 0x9e3779b1;

/**
 * Byte-pair encoding: of all adjacent tokens that together form a token, the pair with the lowest
 * id merges first, leftmost on ties, until none is left. A heap finds the pair, so encoding takes
 * O(n log n) time.
 */
export class BytePairs {
  /** The token of each byte. */
  readonly #single = new Uint16Array(BYTES);
  readonly #joins: JoinTable;

  /**
   * Builds the table of merges.
   *
   * @param tokens The bytes of each token, in merge order; every single byte is a token.
   */
  constructor(tokens: readonly Uint8Array[]) {
    if (tokens.length > MOST_TOKENS) throw new RangeError(`Cannot join ${tokens.length} tokens`);
    const ids = new Map(tokens.map((bytes, id) => [String.fromCharCode(...bytes), id]));
    const joins: [key: number, id: number][] = [];
    for (const [text, id] of ids) {
      if (text.length === 1) this.#single[text.charCodeAt(0)] = id;
      for (let cut = 1; cut < text.length; cut++) {
        const left = ids.get(text.slice(0, cut));
        const right = ids.get(text.slice(cut));
        if (left !== undefined && right !== undefined) joins.push([keyOf(left, right), id]);
      }
    }
    this.#joins = new JoinTable(joins);
  }

  /**
   * Encodes bytes.
   *
   * @param bytes The bytes, at least one.
   * @returns Their tokens.
   */
  encode(bytes: Uint8Array): Uint16Array {
    const count = bytes.length;
    const tokens = Uint16Array.from(bytes, (byte) => this.#single[byte]!);
    // A linked list by position; a token merged into its left neighbour is skipped.
    const next = Uint32Array.from({ length: count }, (_, at) => at + 1);
    const previous = Uint32Array.from({ length: count }, (_, at) => at - 1);
    const joined = new Uint8Array(count);
    const heap = new MinHeap(3 * count);
    const idAt = (at: number): number =>
      next[at]! < count ? this.#joins.find(keyOf(tokens[at]!, tokens[next[at]!]!)) : -1;
    const offer = (at: number): void => {
      const id = idAt(at);
      if (id >= 0) heap.push(id * PLACES + at);
    };
    for (let at = 0; at < count - 1; at++) offer(at);
    while (heap.size > 0) {
      const entry = heap.pop();
      const [at, id] = [entry % PLACES, Math.floor(entry / PLACES)];
      // Entries of pairs that have changed since stay in the heap until popped.
      if (joined[at] || idAt(at) !== id) continue;
      const right = next[at]!;
      tokens[at] = id;
      joined[right] = 1;
      next[at] = next[right]!;
      if (next[at]! < count) previous[next[at]!] = at;
      offer(at);
      if (at > 0) offer(previous[at]!);
    }
    return tokens.filter((_, at) => joined[at] === 0);
  }
}

/** Maps pairs of tokens to the token they merge into: open addressing in two arrays. */
class JoinTable {
  readonly #keys: Uint32Array;
  readonly #ids: Int32Array;
  readonly #shift: number;

  constructor(joins: readonly (readonly [key: number, id: number])[]) {
    const bits = Math.ceil(Math.log2(2 * joins.length + 2));
    this.#shift = 32 - bits;
    this.#keys = new Uint32Array(2 ** bits);
    this.#ids = new Int32Array(2 ** bits).fill(-1);
    for (const [key, id] of joins) {
      const slot = this.#slot(key);
      this.#keys[slot] = key;
      this.#ids[slot] = id;
    }
  }

  /** Returns the token a pair merges into; -1 if none. */
  find(key: number): number {
    return this.#ids[this.#slot(key)]!;
  }

  #slot(key: number): number {
    let slot = Math.imul(key, SPREAD) >>> this.#shift;
    while (this.#ids[slot]! >= 0 && this.#keys[slot] !== key) {
      slot = slot + 1 < this.#ids.length ? slot + 1 : 0;
    }
    return slot;
  }
}

/** A binary min-heap of numbers. */
class MinHeap {
  readonly #entries: Float64Array;
  size = 0;

  constructor(capacity: number) {
    this.#entries = new Float64Array(capacity);
  }

  push(entry: number): void {
    const entries = this.#entries;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (entries[parent]! <= entry) break;
      entries[at] = entries[parent]!;
      at = parent;
    }
    entries[at] = entry;
  }

  pop(): number {
    const entries = this.#entries;
    const least = entries[0]!;
    const entry = entries[--this.size]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && entries[child + 1]! < entries[child]!) child++;
      if (entries[child]! >= entry) break;
      entries[at] = entries[child]!;
      at = child;
    }
    entries[at] = entry;
    return least;
  }
}

function keyOf(left: number, right: number): number {
  return (left << 16 | right) >>> 0;
}
