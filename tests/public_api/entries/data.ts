/** Texts, tokens and batches. @module */

import * as data from "@remoe/remoe/data";
import { drawToken } from "@remoe/remoe/generate";
import { philox } from "../../../kernels/cases/reference/philox.ts";
import { demand, type Entry } from "../entry.ts";

/** Tokens of a vocabulary of 11. */
export const TOKENS = Array.from({ length: 12 }, (_, i) => (5 * i + 3) % 11);
/** A stream of them. */
export const stream = () => data.memoryStream(Uint16Array.from(TOKENS));

/** Refuses anything but an integer in a range. */
export function demandWhole(
  value: unknown,
  name: string,
  least = 0,
  most = Number.MAX_SAFE_INTEGER,
) {
  const isWhole = Number.isSafeInteger(value) && value as number >= least &&
    value as number <= most;
  demand(isWhole, `${name} ${Deno.inspect(value)}`);
}

function demandObject(value: unknown): asserts value is Record<string, unknown> {
  demand(typeof value === "object" && value !== null, "no object");
}

function demandWords(words: unknown, count: number): asserts words is number[] {
  demand(Array.isArray(words) && words.length === count, "words");
  for (const word of words) demandWhole(word, "word", 0, 2 ** 32 - 1);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The bytes of tokens: none for a document's end, U+FFFD for an id outside the vocabulary. */
function bytesOf(tokens: unknown, end = ""): number[] {
  demand(Array.isArray(tokens), "tokens");
  return Array.from(tokens).flatMap((token) => {
    if (token === 256) return [...encoder.encode(end)];
    return Number.isInteger(token) && token >= 0 && token < 256 ? [token] : [0xef, 0xbf, 0xbd];
  });
}

const tokenizers: readonly Entry[] = [
  {
    of: "ByteTokenizer.encode",
    make: () => [new data.ByteTokenizer(), "naïve"],
    call: (tokenizer, text) => tokenizer.encode(text),
    right: (_, text) => {
      demand(typeof text === "string", "no text");
      return [...encoder.encode(text)];
    },
    object: true,
  },
  {
    of: "ByteTokenizer.decode",
    make: () => [new data.ByteTokenizer(), [104, 105, 256, 104], { endOfDocument: "|" }],
    call: (tokenizer, tokens, options) => tokenizer.decode(tokens, options),
    right: (_, tokens, options = {}) => {
      demandObject(options);
      const { endOfDocument = "" } = options;
      demand(typeof endOfDocument === "string", "end");
      return decoder.decode(Uint8Array.from(bytesOf(tokens, endOfDocument)));
    },
    object: true,
  },
  {
    of: "ByteTokenizer.bytesOf",
    make: () => [new data.ByteTokenizer(), [104, 256, 105]],
    call: (tokenizer, tokens) => tokenizer.bytesOf(tokens),
    right: (_, tokens) => bytesOf(tokens),
    object: true,
  },
  {
    of: "ByteTokenizer.byteLength",
    make: () => [new data.ByteTokenizer(), [104, 256, 105]],
    call: (tokenizer, tokens) => tokenizer.byteLength(tokens),
    right: (_, tokens) => bytesOf(tokens).length,
    object: true,
  },
  {
    of: "openTokenizer",
    make: () => ["byte"],
    call: async (name) => (await data.openTokenizer(name)).vocabularySize,
    right: (name) => {
      demand(name === "byte" || name === "gpt2", "name");
      return name === "byte" ? 257 : 50257;
    },
  },
];

const random: readonly Entry[] = [
  {
    of: "philoxKey",
    make: () => [2 ** 40 + 5],
    call: data.philoxKey,
    right: (seed) => {
      demandWhole(seed, "seed");
      return [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
    },
  },
  {
    of: "philox4x32",
    make: () => [[1, 2, 3, 4], [5, 6]],
    call: data.philox4x32,
    right: (counter, key) => {
      demandWords(counter, 4);
      demandWords(key, 2);
      const words = counter as unknown as readonly [number, number, number, number];
      return [...philox(words, key as unknown as readonly [number, number])];
    },
  },
  {
    of: "Permutation.at",
    make: () => [new data.Permutation(7, 3, 0), 6],
    call: (permutation, index) => {
      const all = Array.from({ length: 7 }, (_, i) => permutation.at(i));
      return [permutation.at(index) === all[index], all.sort()];
    },
    right: (_, index) => (demandWhole(index, "index", 0, 6), [true, [0, 1, 2, 3, 4, 5, 6]]),
    object: true,
  },
  {
    of: "new Permutation",
    make: () => [5, 3, 1],
    call: (size, seed, epoch) => new data.Permutation(size, seed, epoch).at(0) < size,
    right: (size, seed, epoch) => {
      demandWhole(size, "size", 1);
      demandWhole(seed, "seed");
      demandWhole(epoch, "epoch", 0, 2 ** 32 - 1);
      return true;
    },
  },
];

const streams: readonly Entry[] = [
  {
    of: "memoryStream",
    make: () => [Uint16Array.from(TOKENS)],
    call: (tokens) => Array.from(data.readAllTokens(data.memoryStream(tokens), 11)),
    right: (tokens) => (demand(tokens instanceof Uint16Array, "tokens"), [...tokens]),
  },
  {
    of: "readAllTokens",
    make: () => [stream(), 11],
    call: data.readAllTokens,
    right: (given, vocabulary) => {
      demand(typeof given?.read === "function", "stream");
      demandWhole(vocabulary, "vocabulary", 11, 2 ** 32);
      return TOKENS.slice(0, given.length);
    },
  },
  {
    of: "joinStreams",
    make: () => [[stream(), stream()]],
    call: (streams) => Array.from(data.readAllTokens(data.joinStreams(streams), 11)),
    right: (streams) => {
      demand(Array.isArray(streams) && streams.every((s) => typeof s?.read === "function"), "s");
      return streams.flatMap(({ length }) => TOKENS.slice(0, length));
    },
  },
];

/** Refuses a row length that the stream is too short for. */
export function demandBatches(options: unknown): asserts options is Record<string, number> {
  demandObject(options);
  demandWhole(options.sequence, "sequence", 1, TOKENS.length - 1);
}

/** Whether each row is a slice of the tokens, and its targets the slice one token later. */
export function areStretches({ rows, sequence, tokens, targets }: data.Batch): boolean {
  const text = TOKENS.join();
  return Array.from({ length: rows }, (_, row) => {
    const start = row * sequence;
    const given = tokens.slice(start, start + sequence);
    return text.includes([...given, targets[start + sequence - 1]].join());
  }).every(Boolean);
}

const batches: readonly Entry[] = [
  {
    of: "new BatchSampler",
    make: () => [stream(), { sequence: 3, seed: 5 }],
    call: (given, options) => {
      const batch = new data.BatchSampler(given, options).next(2);
      return [batch.rows, batch.sequence, areStretches(batch)];
    },
    right: (given, options) => {
      demand(typeof given?.read === "function", "stream");
      demandBatches(options);
      demandWhole(options.seed, "seed");
      return [2, options.sequence, true];
    },
  },
  {
    of: "BatchSampler.next",
    make: () => [new data.BatchSampler(stream(), { sequence: 3, seed: 5 }), 2],
    call: (sampler, batch) => areStretches(sampler.next(batch)),
    right: (_, batch) => (demandWhole(batch, "batch", 1, 2 ** 24), true),
    object: true,
  },
  {
    of: "BatchSampler.restore",
    make: () => [
      new data.BatchSampler(stream(), { sequence: 3, seed: 5 }),
      { seed: 5, epoch: 1, position: 2 },
    ],
    call: (sampler, state) => (sampler.restore(state), sampler.state),
    right: (_, state) => {
      demandObject(state);
      demandWhole(state.seed, "seed");
      demandWhole(state.epoch, "epoch", 0, 2 ** 32 - 1);
      demandWhole(state.position, "position", 0, 4);
      return state;
    },
    object: true,
  },
  {
    of: "new ValidationSet",
    make: () => [stream(), { sequence: 3, batch: 2, rows: 2 }],
    call: (given, options) => {
      const set = new data.ValidationSet(given, options);
      return [...set].map((batch) => [batch.rows, areStretches(batch)]);
    },
    right: (given, options) => {
      demand(typeof given?.read === "function", "stream");
      demandBatches(options);
      demandWhole(options.batch, "batch", 1);
      const whole = Math.floor((TOKENS.length - 1) / options.sequence!);
      const { rows = whole } = options;
      if (rows !== Infinity) demandWhole(rows, "rows", 1);
      const count = Math.min(whole, rows);
      return Array.from({ length: Math.ceil(count / options.batch!) }, (_, i) => [
        Math.min(options.batch!, count - i * options.batch!),
        true,
      ]);
    },
  },
];

const texts: readonly Entry[] = [
  {
    of: "bitsPerByte",
    make: () => [3, 2],
    call: data.bitsPerByte,
    right: (nats, bytes) => {
      demand(typeof nats === "number" && typeof bytes === "number", "numbers");
      demand(Number.isFinite(bytes) && bytes > 0, "bytes");
      return nats / Math.LN2 / bytes;
    },
  },
  {
    of: "splitDocuments",
    make: () => [[{ id: "a", text: "one text" }, { id: "b", text: "another" }], 0.25],
    call: (documents, fraction) => {
      const { train, validation } = data.splitDocuments(documents, fraction);
      return [...train, ...validation].map(({ text }) => text).join("").length;
    },
    right: (documents, fraction = 0.1) => {
      demand(Array.isArray(documents), "documents");
      for (const document of documents) {
        demandObject(document);
        demand(typeof document.text === "string" && typeof document.id === "string", "document");
      }
      demand(Number.isFinite(fraction) && fraction > 0 && fraction <= 0.5, "fraction");
      return documents.map(({ text }) => text).join("").length;
    },
  },
  {
    of: "textsInMemory",
    make: () => [["one", "two"], "mine"],
    call: async (texts, name) => {
      const source = data.textsInMemory(texts, name);
      const found: string[] = [];
      for await (const { text } of source.documents()) found.push(text);
      return [source.name, ...found];
    },
    right: (texts, name = "text") => {
      demand(Array.isArray(texts) && texts.every((text) => typeof text === "string"), "texts");
      demand(typeof name === "string", "name");
      return [name, ...texts];
    },
  },
  {
    of: "new TextStream",
    make: () => [new data.ByteTokenizer(), { endOfDocument: "|" }],
    call: (tokenizer, options) => {
      const text = new data.TextStream(tokenizer, options);
      return [195, 175, 256].map((token) => text.push(token)).join("") + text.end();
    },
    right: (tokenizer, options = {}) => {
      demand(tokenizer instanceof data.ByteTokenizer, "tokenizer");
      demandObject(options);
      const { endOfDocument = "" } = options;
      demand(typeof endOfDocument === "string", "end");
      return `ï${endOfDocument}`;
    },
  },
  {
    of: "TextStream.push",
    make: () => [new data.TextStream(new data.ByteTokenizer()), 104],
    call: (text, token) => text.push(token) + text.end(),
    right: (_, token) => {
      return decoder.decode(Uint8Array.from(bytesOf([token])));
    },
    object: true,
  },
  {
    of: "TextStream.end",
    make: () => [new data.TextStream(new data.ByteTokenizer())],
    call: (text) => text.end(),
    right: () => "",
    object: true,
  },
];

const drawing: readonly Entry[] = [
  {
    of: "drawToken",
    make: () => [
      Float32Array.from([1, 3, 2, 0]),
      0.1,
      { temperature: 0.5, topK: 1, topP: 0.5 },
    ],
    call: drawToken,
    right: (logits, uniform, options = {}) => {
      demand(logits instanceof Float32Array, "logits");
      demand(uniform >= 0 && uniform < 1 && typeof uniform === "number", "uniform");
      demandObject(options);
      const { temperature = 1, topK = 4, topP = 1 } = options as Record<string, number>;
      demand(Number.isFinite(temperature) && temperature >= 0, "temperature");
      demand(Number.isInteger(topK) && topK > 0, "topK");
      demand(typeof topP === "number" && topP > 0 && topP <= 1, "topP");
      // A cut to one token leaves only the likeliest, whatever the temperature.
      return 1;
    },
  },
];

/** Data and token sampling. */
export const dataset: readonly Entry[] = [
  ...[...tokenizers, ...random, ...streams],
  ...[...batches, ...texts, ...drawing],
];
