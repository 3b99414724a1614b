/** Models made by transformers give the same logits and texts here. */
import { assert, assertEquals } from "@std/assert";
import { importModel } from "../../lib/interchange/mod.ts";
import { openModel } from "../../lib/model/open_model.ts";
import { Device } from "../../mod.ts";
import { expectedOf, FIXTURES, greedyOf, largestDifference, logitsOf } from "./transformers.ts";

const TOLERANCE = 1e-4;

for (
  const name of ["llama", "llama-bf16", "llama-tied", "mixtral", "olmoe", "qwen2-moe", "qwen3-moe"]
) {
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
