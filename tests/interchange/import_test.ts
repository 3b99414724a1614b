/** Models made by transformers give the same logits and texts here. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConfigError } from "../../lib/errors.ts";
import { importModel } from "../../lib/interchange/mod.ts";
import { openModel } from "../../lib/model/open_model.ts";
import { Device } from "../../mod.ts";
import { expectedOf, FIXTURES, greedyOf, largestDifference, logitsOf } from "./transformers.ts";

const TOLERANCE = 1e-4;

for (const name of ["llama", "llama-bf16", "llama-tied", "mixtral", "olmoe", "qwen3-moe"]) {
  Deno.test(`${name} of transformers gives its logits and its greedy text`, async () => {
    const folder = await Deno.makeTempDir();
    const expected = expectedOf(name);
    await importModel(`${FIXTURES}/${name}`, `${folder}/run`);
    using device = await Device.open({ kind: "cpu" });
    using opened = await openModel(device, `${folder}/run`, { dtype: "f32" });
    const logits = await logitsOf(device, opened, expected.prompt);
    const difference = largestDifference(logits, expected.logits);
    console.log(`largest difference of a logit ${difference.toExponential(1)}`);
    assert(difference < TOLERANCE, `a logit differs by ${difference}`);
    const { prompt, greedy, text } = expected;
    assertEquals(await greedyOf(device, opened, prompt, greedy.length), greedy);
    assertEquals(opened.tokenizer.decode(greedy), text);
    assertEquals(opened.step, 0);
    await Deno.remove(folder, { recursive: true });
  });
}

const REFUSED: readonly (readonly [name: string, words: string])[] = [
  ["qwen2-moe", "shared_expert_intermediate_size is 20"],
];

for (const [name, words] of REFUSED) {
  Deno.test(`${name} is refused by name: ${words}`, async () => {
    const folder = await Deno.makeTempDir();
    const made = importModel(`${FIXTURES}/${name}`, `${folder}/run`);
    await assertRejects(() => made, ConfigError, words);
    assertEquals([...Deno.readDirSync(folder)], []);
    await Deno.remove(folder, { recursive: true });
  });
}
