/** Texts from files to tokens, and the samplers that cut them into batches. @module */

import * as data from "@remoe/remoe/data";
import { demand, type Entry } from "../entry.ts";
import { demandObject, demandPath } from "../reference_config.ts";
import type { World } from "../world.ts";
import { areStretches, demandBatches, demandWhole, stream, TOKENS } from "./data.ts";

const TEXTS = ["A first text.", "The second, naïve.", "A third one.", "And the last of them."];
const OTHERS = ["Another text.", "A third one."];
const source = () => data.textsInMemory(TEXTS, "mine");

/** What both sides hold: whole texts or parts of them, and the total size. */
function documentsOf({ train, validation }: data.Corpus): [boolean, number] {
  const tokenizer = new data.ByteTokenizer();
  const parts = [train, validation].flatMap(({ tokens }) =>
    tokenizer.decode(data.readAllTokens(tokens, 257), { endOfDocument: "|" }).split("|")
  );
  const areParts = parts.every((part) => TEXTS.some((text) => text.includes(part)));
  return [areParts, parts.join("").length];
}

function demandSource(value: unknown): void {
  demandObject(value);
  const { name, documents, fingerprint = "", identify = () => {} } = value;
  demand(typeof name === "string" && typeof documents === "function", "source");
  demand(typeof fingerprint === "string" && typeof identify === "function", "identity");
}

function demandCorpus(options: unknown): asserts options is Record<string, unknown> {
  demandObject(options);
  const { validationFraction: share = 0.05, cacheFolder = false, workers = 0 } = options;
  demand(typeof share === "number" && share > 0 && share <= 0.5, "fraction");
  if (cacheFolder !== false) demandPath(cacheFolder);
  demandWhole(workers, "workers");
  const { onEvent = () => {} } = options;
  demand(typeof onEvent === "function", "onEvent");
}

const prepared: readonly Entry[] = [
  {
    of: "prepareCorpus",
    make: (w) => [
      source(),
      new data.ByteTokenizer(),
      {
        validationFraction: 0.25,
        cacheFolder: `${w.folder()}/cache`,
        workers: 1,
        onEvent: () => {},
      },
    ],
    call: async (source, tokenizer, options) => {
      const corpus = await data.prepareCorpus(source, tokenizer, options);
      return [corpus.source, documentsOf(corpus), corpus.validation.documents > 0];
    },
    right: (source, tokenizer, options = {}) => {
      demandSource(source);
      demand(tokenizer instanceof data.ByteTokenizer, "tokenizer");
      demandCorpus(options);
      return [source.name, [true, TEXTS.join("").length], true];
    },
  },
  {
    of: "prepareCorpus",
    variant: "validation apart",
    make: () => [
      { ...source(), fingerprint: "mine-1", identify: () => Promise.resolve("mine-1") },
      new data.ByteTokenizer(),
      { validation: data.textsInMemory(OTHERS, "others"), cacheFolder: false as const },
    ],
    call: async (source, tokenizer, options) => {
      const corpus = await data.prepareCorpus(source, tokenizer, options);
      const { train, validation, sharedDocuments } = corpus;
      return [train.documents, validation.documents, sharedDocuments];
    },
    right: (source, tokenizer, options = {}) => {
      demandSource(source);
      demand(tokenizer instanceof data.ByteTokenizer, "tokenizer");
      demandCorpus(options);
      const { validation } = options;
      if (validation === undefined) return [4, 1, 0];
      demandSource(validation);
      return [TEXTS.length, OTHERS.length, 1];
    },
  },
];

/** A folder with a text file and a JSON Lines file. */
function textFolder(world: World): string {
  const folder = `${world.folder()}/texts`;
  Deno.mkdirSync(folder);
  Deno.writeTextFileSync(`${folder}/b.txt`, TEXTS[0]!);
  Deno.writeTextFileSync(`${folder}/a.jsonl`, `${JSON.stringify({ text: TEXTS[1] })}\n`);
  return folder;
}

const sources: readonly Entry[] = [
  {
    of: "textFiles",
    make: (w) => [[`tales=${textFolder(w)}`]],
    call: async (paths) => {
      const source = data.textFiles(paths);
      const documents = await Array.fromAsync(source.documents());
      return documents.map(({ text, domain }) => [text, domain]);
    },
    right: (paths) => {
      demand(Array.isArray(paths) && paths.length > 0, "paths");
      demand(Array.from(paths).every((path) => /^tales=.*\/texts$/.test(path)), "a path");
      return [[TEXTS[1], "tales"], [TEXTS[0], "tales"]];
    },
  },
  {
    of: "bundledText",
    make: () => [],
    call: async () => {
      for await (const { id, text } of data.bundledText().documents()) {
        return [id, text.slice(0, 15)];
      }
    },
    right: () => ["1790 George Washington", "Fellow-Citizens"],
  },
  {
    of: "defaultCacheFolder",
    make: () => [],
    call: data.defaultCacheFolder,
    right: () => `${Deno.env.get("XDG_CACHE_HOME")}/remoe`,
  },
];

const OPTIONS = { sequence: 3, seed: 5 };
const domains = () => new Map([["a", { tokens: stream() }], ["b", { tokens: stream() }]]);
const mixture = () => new data.MixtureSampler(domains(), { ...OPTIONS, weights: { a: 1, b: 2 } });

/**
 * Rows drawn from each of two domains of equal length: the one furthest behind its share is next.
 */
function drawnOf({ a = 1, b = 1 }: Record<string, number>, rows: number): Record<string, number> {
  const shares = { a: a / (a + b), b: b / (a + b) };
  const drawn = { a: 0, b: 0 };
  for (let row = 1; row <= rows; row++) {
    drawn[shares.b * row - drawn.b > shares.a * row - drawn.a ? "b" : "a"]++;
  }
  return Object.fromEntries(Object.entries(drawn).filter(([name]) => ({ a, b })[name]! > 0));
}

const samplers: readonly Entry[] = [
  {
    of: "BatchSampler.state",
    make: () => [new data.BatchSampler(stream(), OPTIONS)],
    call: (sampler) => (sampler.next(5), sampler.state),
    right: () => ({ seed: 5, epoch: 1, position: 2 }),
    object: true,
  },
  {
    of: "new MixtureSampler",
    make: () => [domains(), { ...OPTIONS, weights: { a: 1, b: 2 } }],
    call: (domains, options) => {
      const sampler = new data.MixtureSampler(domains, options);
      return [areStretches(sampler.next(3)), sampler.state];
    },
    right: (domains, options) => {
      demand(domains instanceof Map, "domains");
      demandBatches(options);
      demandWhole(options.seed, "seed");
      const weights = options.weights as unknown;
      demandObject(weights);
      for (const weight of Object.values(weights)) {
        demand(typeof weight === "number" && Number.isFinite(weight) && weight >= 0, "weight");
      }
      const drawn = drawnOf(weights as Record<string, number>, 3);
      return [true, { seed: options.seed, drawn }];
    },
  },
  {
    of: "MixtureSampler.state",
    make: () => [mixture()],
    call: (sampler) => (sampler.next(6), sampler.state),
    right: () => ({ seed: 5, drawn: { a: 2, b: 4 } }),
    object: true,
  },
  {
    of: "MixtureSampler.next",
    make: () => [mixture(), 2],
    call: (sampler, batch) => {
      const { rows, sequence, ...rest } = sampler.next(batch);
      return [rows, sequence, areStretches({ rows, sequence, ...rest })];
    },
    right: (_, batch) => (demandWhole(batch, "batch", 1, 2 ** 24), [batch, 3, true]),
    object: true,
  },
  {
    of: "MixtureSampler.restore",
    make: () => [mixture(), { seed: 5, drawn: { a: 1, b: 2 } }],
    call: (sampler, state) => (sampler.restore(state), sampler.state),
    right: (_, state) => {
      demandObject(state);
      demandObject(state.drawn);
      demand(state.seed === 5, "seed");
      const { a, b } = state.drawn;
      demandWhole(a, "drawn");
      demandWhole(b, "drawn");
      return { seed: 5, drawn: { a, b } };
    },
    object: true,
  },
  {
    of: "ValidationSet.[Symbol.iterator]",
    make: () => [new data.ValidationSet(stream(), { sequence: 3, batch: 2 })],
    call: (set) => {
      const [first, second] = [set, set].map((each) => [...each] as data.Batch[]);
      return [first!.map(({ tokens }) => [...tokens]), second!.every(areStretches)];
    },
    right: () => [[TOKENS.slice(0, 6), TOKENS.slice(6, 9)], true],
    object: true,
  },
];

/** Texts, corpora and samplers. */
export const corpora: readonly Entry[] = [...prepared, ...sources, ...samplers];
