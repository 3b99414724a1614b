import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { gzipSync } from "node:zlib";
import { DataError, textFiles } from "../../lib/data/mod.ts";
import { CheckpointError } from "../../lib/errors.ts";
import { readMetrics } from "../../lib/train/mod.ts";
import { readCheckpointState } from "../../lib/checkpoint/state.ts";
import {
  decodeHeader,
  encodeHeader,
  placeTensors,
} from "../../lib/checkpoint/safetensors_header.ts";
import { truncateSamples } from "../../lib/run/samples.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { effort } from "./effort.ts";
import { altered, anyValue, damaged } from "./mutations.ts";

const encoder = new TextEncoder();
const anyBytes = fc.uint8Array({ maxLength: 200 });

/** Lines of JSON, most of them documents. */
const jsonLines = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ text: fc.string({ unit: "binary" }) }) },
    { weight: 2, arbitrary: fc.record({ text: fc.string(), domain: fc.string() }) },
    fc.record({ text: anyValue, domain: anyValue }),
    anyValue,
  ),
  { maxLength: 5 },
).map((rows) => encoder.encode(rows.map((row) => `${JSON.stringify(row)}\n`).join("")));

Deno.test("any bytes read as text give documents or a DataError that names the file", async (t) => {
  using folder = new TemporaryFolder();
  const contents = fc.oneof(damaged(jsonLines), jsonLines, anyBytes);
  const compressed = contents.map((bytes) => Uint8Array.from(gzipSync(bytes)));
  const kinds: [name: string, bytes: fc.Arbitrary<Uint8Array>][] = [
    ["a.jsonl", contents],
    ["a.txt", contents],
    ["a.jsonl.gz", fc.oneof(compressed, damaged(compressed), anyBytes)],
  ];
  for (const [name, bytes] of kinds) {
    await t.step(name, async () => {
      const path = `${folder.path}/${name}`;
      await fc.assert(
        fc.asyncProperty(bytes, async (content) => {
          Deno.writeFileSync(path, content);
          try {
            for await (const { text, domain, id } of textFiles([path]).documents()) {
              assert(typeof text === "string" && text !== "");
              assert(typeof domain === "string" && id.startsWith(name));
            }
          } catch (error) {
            if (!(error instanceof DataError)) throw error;
            assert(error.message.includes(path), error.message);
          }
        }),
        effort(200),
      );
    });
  }
});

Deno.test("any safetensors header is refused or read as written", () => {
  const tensor = fc.record({
    name: fc.string({ minLength: 1, maxLength: 6 }).filter((name) => name !== "__metadata__"),
    dtype: fc.constantFrom("F32", "BF16", "F64", "I32", "I64"),
    shape: fc.array(fc.nat({ max: 3 }), { maxLength: 3 }),
  });
  const headers = fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 3 })
    .map((specs) =>
      encodeHeader({ tensors: placeTensors(specs), metadata: { a: "b" } }).subarray(8)
    );
  fc.assert(
    fc.property(fc.oneof(damaged(headers), anyBytes), fc.nat({ max: 200 }), (json, extra) => {
      // As many data bytes as the tensors claim, so that the size alone is no reason to refuse.
      const claimed = Math.max(
        0,
        ...[...new TextDecoder().decode(json).matchAll(/(\d+)\s*\]/g)].map(([, n]) => Number(n)),
      );
      for (const length of [extra, claimed]) {
        try {
          const header = decodeHeader(json, length);
          const total = header.tensors.reduce((sum, { bytes }) => sum + bytes, 0);
          assertEquals(total, length);
          assertEquals(decodeHeader(encodeHeader(header).subarray(8), length), header);
        } catch (error) {
          if (!(error instanceof CheckpointError)) throw error;
        }
      }
    }),
    effort(400),
  );
});

const STATE = {
  format: 1,
  step: 5,
  tokens: 640,
  lambda: 1e-8,
  stage: { stage: "dense", sparsifying_from: null, sparse_from: null },
  sampler: { seed: 0, epoch: 0, position: 20 },
  text: "abc",
  seed: 0,
  config_hash: "abc",
  versions: { remoe: "0.1.0" },
};

Deno.test("any state.json is read or raises a CheckpointError that names it", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/state.json`;
  const valid = fc.constant(encoder.encode(JSON.stringify(STATE)));
  const contents = fc.oneof(
    damaged(valid),
    altered(STATE).map((state) => encoder.encode(JSON.stringify(state) ?? "")),
    anyBytes,
  );
  fc.assert(
    fc.property(contents, (bytes) => {
      Deno.writeFileSync(path, bytes);
      try {
        const { format, step, lambda } = readCheckpointState(path);
        assert(format === 1 && Number.isSafeInteger(step) && step >= 0 && lambda >= 0);
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
        assert(error.message.startsWith(`Cannot read ${path}: `), error.message);
      }
    }),
    effort(300),
  );
});

Deno.test("any metrics file is read or raises a SyntaxError that names file and line", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/metrics.jsonl`;
  const lines = fc.array(
    fc.oneof(fc.record({ step: fc.nat(), loss: fc.double() }), altered({ step: 1, loss: 2 })),
    { maxLength: 4 },
  ).map((rows) => encoder.encode(rows.map((row) => `${JSON.stringify(row)}\n`).join("")));
  fc.assert(
    fc.property(fc.oneof(damaged(lines), anyBytes), (bytes) => {
      Deno.writeFileSync(path, bytes);
      try {
        for (const { step } of readMetrics(path)) assert(Number.isInteger(step));
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        assert(/^Cannot read line \d+ of /.test(error.message), error.message);
        assert(error.message.includes(path), error.message);
      }
    }),
    effort(300),
  );
});

Deno.test("any file of samples can be cut at a step", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/samples.txt`;
  const samples = fc.array(fc.tuple(fc.nat({ max: 9 }), fc.string()))
    .map((list) => encoder.encode(list.map(([n, t]) => `=== step ${n} ===\n${t}\n\n`).join("")));
  fc.assert(
    fc.property(fc.oneof(damaged(samples), anyBytes), fc.nat({ max: 9 }), (bytes, step) => {
      Deno.writeFileSync(path, bytes);
      truncateSamples(path, step);
      // Only "\n" ends a line: with the flag m, "\r" would too.
      const headings = /(?<=^|\n)=== step (\d+) ===(?=\n|$)/g;
      for (const [, found] of Deno.readTextFileSync(path).matchAll(headings)) {
        assert(Number(found) <= step);
      }
    }),
    effort(150),
  );
});
