/** A run that trains with a `tokenizer.json` carries it, and can be continued and moved. */
import { assertEquals } from "@std/assert";
import { describeTokenizerFile } from "../../lib/data/tokenizer/tokenizer_file.ts";
import { openModel } from "../../lib/model/open_model.ts";
import { findRun, parseConfig, RunDirectory, train } from "../../lib/train/mod.ts";
import { Device } from "../../mod.ts";
import { FIXTURES } from "./transformers.ts";

Deno.test("a run trained with a tokenizer's file carries the file", async () => {
  const root = await Deno.makeTempDir();
  await Deno.writeTextFile(`${root}/text.txt`, "The quick brown fox. ".repeat(200));
  const config = parseConfig({
    preset: "pico",
    steps: 1,
    model: { hidden: 16, heads: 2, layers: 1 },
    data: {
      tokenizer: "file",
      tokenizer_file: describeTokenizerFile(`${FIXTURES}/tokenizers/byte_fallback.json`, {
        end_of_document: 2,
        begin_of_document: 1,
      }),
      ...{ paths: [`${root}/text.txt`], batch: 2, sequence: 16, cache: `${root}/cache` },
    },
    sample: { tokens: 2 },
    out: `${root}/run`,
  });
  assertEquals(config.model.vocabulary, 320);
  using device = await Device.open({ kind: "cpu" });
  {
    using directory = RunDirectory.create(config);
    assertEquals((await train(config, { device, directory })).step, 1);
  }
  await Deno.rename(`${root}/run`, `${root}/moved`);
  const found = findRun(`${root}/moved`);
  assertEquals(found.config.data.tokenizer_file?.path, `${root}/moved/tokenizer.json`);
  using opened = await openModel(device, `${root}/moved`);
  assertEquals(opened.tokenizer.name, `file-${config.data.tokenizer_file?.sha256}`);
  const { directory, checkpoint } = RunDirectory.resume(found, { ...config, steps: 2 });
  assertEquals(checkpoint.state.step, 1);
  checkpoint[Symbol.dispose]();
  directory[Symbol.dispose]();
  await Deno.remove(root, { recursive: true });
});
