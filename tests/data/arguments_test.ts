import { assert, assertThrows } from "@std/assert";

import * as data from "../../lib/data/mod.ts";

type Call = (value: never) => unknown;

const tokens = Uint16Array.from({ length: 100 }, (_, i) => i);
const stream = data.memoryStream(tokens);
const bytes = new data.ByteTokenizer();
const gpt2 = await data.openTokenizer("gpt2");
const options = { sequence: 4, seed: 1 };
const domains = new Map([["a", { tokens: stream }]]);
const mixture = { ...options, weights: {} };

const COUNTS = [0, -1, 1.5, NaN, Infinity, "1", 1n, null, Symbol("s"), {}, 2 ** 53];
const OBJECTS = [null, 1, "text", Symbol("s"), () => {}, {}, []];
const TEXTS = [null, undefined, 1, {}, [], Symbol("s"), Object.create(null)];

/** A call with one argument to replace, and values that it must refuse. */
const CALLS: Record<string, [Call, readonly unknown[]]> = {
  "BatchSampler stream": [(x) => new data.BatchSampler(x, options), [
    ...OBJECTS,
    new Float32Array(99),
    { length: -1, read() {} },
  ]],
  "BatchSampler options": [(x) => new data.BatchSampler(tokens, x), OBJECTS],
  "BatchSampler sequence": [
    (x) => new data.BatchSampler(tokens, { ...options, sequence: x }),
    [...COUNTS, 100],
  ],
  "BatchSampler seed": [
    (x) => new data.BatchSampler(tokens, { ...options, seed: x }),
    COUNTS.slice(1),
  ],
  "BatchSampler next": [
    (x) => new data.BatchSampler(tokens, options).next(x),
    [...COUNTS, 2 ** 29, 2 ** 31, 2 ** 32],
  ],
  "BatchSampler restore": [(x) => new data.BatchSampler(tokens, options).restore(x), [
    ...OBJECTS,
    { seed: 1, drawn: { a: 1 } },
    { seed: "1", epoch: 0, position: 0 },
    { seed: Symbol("s"), epoch: 0, position: 0 },
    { seed: 1, epoch: 2 ** 32, position: 0 },
    { seed: 1, epoch: 0, position: 1e9 },
  ]],
  "MixtureSampler domains": [(x) => new data.MixtureSampler(x, mixture), [
    ...OBJECTS,
    new Map([["a", { tokens }]]),
    new Map(),
  ]],
  "MixtureSampler options": [(x) => new data.MixtureSampler(domains, x), OBJECTS],
  "MixtureSampler sequence": [
    (x) => new data.MixtureSampler(domains, { ...mixture, sequence: x }),
    COUNTS,
  ],
  "MixtureSampler seed": [
    (x) => new data.MixtureSampler(domains, { ...mixture, seed: x }),
    COUNTS.slice(1),
  ],
  "MixtureSampler next": [
    (x) => new data.MixtureSampler(domains, mixture).next(x),
    [...COUNTS, 2 ** 29],
  ],
  "MixtureSampler restore": [(x) => new data.MixtureSampler(domains, mixture).restore(x), [
    ...OBJECTS,
    { seed: 1, epoch: 0, position: 0 },
    { seed: 2, drawn: { a: 1 } },
    { seed: 1, drawn: { a: 1e300 } },
    { seed: 1, drawn: { a: -1 } },
    { seed: 1, drawn: { b: 1 } },
  ]],
  "ValidationSet batch": [
    (x) => new data.ValidationSet(tokens, { sequence: 4, batch: x }),
    COUNTS,
  ],
  "ValidationSet rows": [
    (x) => new data.ValidationSet(tokens, { sequence: 4, batch: 1, rows: x }),
    [0, -1, 1.5, NaN, "1", null],
  ],
  "ValidationSet stream": [
    (x) => new data.ValidationSet(x, { sequence: 4, batch: 1 }),
    OBJECTS,
  ],
  "Permutation size": [(x) => new data.Permutation(x, 1, 0), COUNTS],
  "Permutation seed": [(x) => new data.Permutation(5, x, 0), COUNTS.slice(1)],
  "Permutation epoch": [(x) => new data.Permutation(5, 1, x), COUNTS.slice(1)],
  "Permutation at": [(x) => new data.Permutation(5, 1, 0).at(x), [...COUNTS.slice(1), 5]],
  "philoxKey": [data.philoxKey, COUNTS.slice(1)],
  "philox4x32 counter": [(x) => data.philox4x32(x, [0, 0]), [
    ...OBJECTS,
    [1, 2, 3],
    [0, 0, 0, -1],
    [0, 0, 0, 2 ** 32],
    [0, 0, 0, 0.5],
  ]],
  "philox4x32 key": [(x) => data.philox4x32([0, 0, 0, 0], x), [...OBJECTS, [1], [1, 2 ** 32]]],
  "philox4x32 target": [
    (x) => data.philox4x32([0, 0, 0, 0], [0, 0], x),
    [...OBJECTS, new Uint32Array(3), new Int32Array(4)],
  ],
  "bitsPerByte nats": [(x) => data.bitsPerByte(x, 1), [null, "1", undefined, {}]],
  "bitsPerByte bytes": [(x) => data.bitsPerByte(1, x), [0, -1, NaN, Infinity, "1", null, 1n]],
  "memoryStream": [data.memoryStream, [...OBJECTS, [1, 2], new Int32Array(4), new Uint8Array(4)]],
  "memoryStream read": [(x) => stream.read(x, new Int32Array(2)), [...COUNTS.slice(1), 99]],
  "memoryStream target": [(x) => stream.read(0, x), [...OBJECTS, new Float32Array(2)]],
  "memoryStream width": [
    (x) => data.memoryStream(Uint32Array.of(70_000, 2 ** 31)).read(0, x),
    [new Uint16Array(1), new Int32Array(2)],
  ],
  "joinStreams": [data.joinStreams, [null, 1, "text", {}, [1], [stream, null], [{ length: 1 }]]],
  "joinStreams read": [
    (x) => data.joinStreams([stream, stream]).read(x, new Int32Array(2)),
    [...COUNTS.slice(1), 199],
  ],
  "readAllTokens stream": [(x) => data.readAllTokens(x, 257), OBJECTS],
  "readAllTokens vocabulary": [(x) => data.readAllTokens(stream, x), COUNTS],
  "readAllTokens width": [
    (x) => data.readAllTokens(data.memoryStream(x), 257),
    [Uint32Array.of(70_000)],
  ],
  "splitDocuments documents": [data.splitDocuments, [
    ...OBJECTS,
    [null],
    [{ id: "a", text: 1 }],
    [{ id: "a", text: "a", domain: 1 }],
  ]],
  "splitDocuments fraction": [
    (x) => data.splitDocuments([{ id: "a", text: "ab" }], x),
    [0, -1, 0.6, NaN, "0.1", null, Symbol("s")],
  ],
  "textFiles": [data.textFiles, [null, undefined, 1, "text", {}, [], [1], [null]]],
  "textsInMemory": [data.textsInMemory, [null, undefined, 1, "text", {}, [1], [null]]],
  "textsInMemory name": [(x) => data.textsInMemory(["a"], x), [null, 1, {}]],
  "TextStream": [(x) => new data.TextStream(x), OBJECTS],
  "TextStream end": [
    (x) => new data.TextStream(bytes, { endOfDocument: x }),
    [1, {}, Symbol("s")],
  ],
  ...Object.fromEntries(
    [bytes, gpt2].flatMap((tokenizer): [string, [Call, readonly unknown[]]][] => [
      [`${tokenizer.name} encode`, [(x) => tokenizer.encode(x), TEXTS]],
      [`${tokenizer.name} decode`, [(x) => tokenizer.decode(x), [null, 1, {}, {
        length: 2 ** 40,
      }]]],
      [`${tokenizer.name} bytesOf`, [(x) => tokenizer.bytesOf(x), [null, 1, {}, { length: -1 }]]],
      [`${tokenizer.name} byteLength`, [(x) => tokenizer.byteLength(x), [null, 1, {}]]],
    ]),
  ),
};

for (const [name, [call, values]] of Object.entries(CALLS)) {
  Deno.test(`invalid values are refused: ${name}`, () => {
    for (const value of values) {
      const error = assertThrows(() => call(value as never), Error);
      assert(error.message.startsWith("Cannot "), `${Deno.inspect(value)}: ${error.message}`);
    }
  });
}

/** The same for calls that reject asynchronously. */
const LATER: Record<string, [(value: never) => Promise<unknown>, readonly unknown[]]> = {
  "openTokenizer": [data.openTokenizer, ["none", ...TEXTS, "__proto__"]],
  "prepareCorpus source": [(x) => data.prepareCorpus(x, bytes, { cacheFolder: false }), [
    ...OBJECTS,
    { name: 1, documents: () => [] },
    ...[1, { text: 1 }, { text: "a", domain: 1 }].map((document) => ({
      name: "wrong",
      documents: () => [document],
    })),
  ]],
  "prepareCorpus tokenizer": [
    (x) => data.prepareCorpus(data.textsInMemory(["some text"]), x, { cacheFolder: false }),
    [
      ...OBJECTS,
      { ...methodsOf(bytes), vocabularySize: 50, endOfDocument: 49 },
      { ...methodsOf(bytes), vocabularySize: 256, endOfDocument: 256 },
      { ...methodsOf(bytes), vocabularySize: 256.5, endOfDocument: 1 },
    ],
  ],
  ...Object.fromEntries(
    Object.entries({
      validationFraction: [0, -1, 0.6, NaN, "0.1"],
      validation: OBJECTS,
      cacheFolder: [true, 1, {}, null],
      workers: COUNTS.slice(1),
      onEvent: [1, {}, "text", null],
    }).map(([key, values]) => [
      `prepareCorpus ${key}`,
      [
        (x: never) =>
          data.prepareCorpus(data.textsInMemory(["some text"]), bytes, {
            cacheFolder: false,
            [key]: x,
          }),
        values,
      ],
    ]),
  ),
};

function methodsOf({ name, encode, decode, bytesOf, byteLength }: data.Tokenizer) {
  return { name, encode, decode, bytesOf, byteLength };
}

for (const [name, [call, values]] of Object.entries(LATER)) {
  Deno.test(`invalid values are rejected once awaited: ${name}`, async () => {
    for (const value of values) {
      const error = await call(value as never).then(() => null, (error: Error) => error);
      const message = error?.message ?? "nothing was thrown";
      assert(message.startsWith("Cannot "), `${Deno.inspect(value)}: ${message}`);
    }
  });
}
