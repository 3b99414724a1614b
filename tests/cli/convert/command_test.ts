/** The `convert` command, from its command line to folders, and what uses the run afterwards. */
import { assert, assertEquals } from "@std/assert";
import { convertCommand } from "../../../cli/convert/command.ts";
import { generateCommand } from "../../../cli/generate/command.ts";
import { FIXTURES } from "../../interchange/transformers.ts";
import { CapturedOutput } from "../captured_output.ts";

async function convert(...args: string[]) {
  const output = new CapturedOutput();
  const code = await convertCommand(args, output);
  return { code, stdout: output.stdout, stderr: output.stderr };
}

const LLAMA = `${FIXTURES}/llama`;

Deno.test("a model is imported, continued and exported again", async () => {
  const root = await Deno.makeTempDir();
  const made = await convert("import", LLAMA, "--out", `${root}/run`, "--sequence", "32");
  assertEquals([made.code, made.stderr], [0, ""]);
  assert(made.stdout.startsWith("Imported    Llama, "), made.stdout);
  assert(made.stdout.includes("router dense"), made.stdout);
  const output = new CapturedOutput();
  const code = await generateCommand(
    ["--run", `${root}/run`, "--prompt", "the king", "--tokens", "5", "--temperature=0"],
    output,
    { isTerminal: true, read: () => Promise.resolve(new Uint8Array()) },
  );
  assertEquals(code, 0, output.stderr);
  assert(output.stdout.startsWith("the king"), output.stdout);
  const out = `${root}/exported`;
  const written = await convert("export", `${root}/run`, "--out", out);
  assertEquals([written.code, written.stderr], [0, ""]);
  assert(written.stdout.startsWith("Exported    step 0 as Llama"), written.stdout);
  assertEquals(
    Deno.readTextFileSync(`${out}/tokenizer.json`),
    Deno.readTextFileSync(`${LLAMA}/tokenizer.json`),
  );
  const config = JSON.parse(Deno.readTextFileSync(`${out}/config.json`));
  assertEquals([config.bos_token_id, config.eos_token_id], [1, 2]);
  assertEquals([...Deno.readDirSync(root)].map(({ name }) => name).sort(), ["exported", "run"]);
  await Deno.remove(root, { recursive: true });
});

Deno.test("a moved run still finds its tokenizer, and notices when it changes", async () => {
  const root = await Deno.makeTempDir();
  await convert("import", LLAMA, "--out", `${root}/run`);
  await Deno.rename(`${root}/run`, `${root}/moved`);
  const generate = async () => {
    const output = new CapturedOutput();
    const input = { isTerminal: true, read: () => Promise.resolve(new Uint8Array()) };
    const args = ["--run", `${root}/moved`, "--prompt", "the", "--tokens", "1"];
    return [await generateCommand(args, output, input), output.stderr] as const;
  };
  assertEquals((await generate())[0], 0);
  await Deno.writeTextFile(`${root}/moved/tokenizer.json`, " ", { append: true });
  const [code, stderr] = await generate();
  assertEquals(code, 1);
  assert(stderr.includes("it has changed"), stderr);
  await Deno.remove(root, { recursive: true });
});

const BAD: readonly (readonly [args: readonly string[], words: string])[] = [
  [[], "Give import FOLDER or export RUN"],
  [["move", "a", "--out", "b"], "Unknown action move"],
  [["import", "--out", "b"], "Give import FOLDER"],
  [["export", "--out", "b"], "Give export RUN"],
  [["import", "a"], "Give --out DIR"],
  [["import", "a", "b", "--out", "c"], "Unexpected argument b"],
  [["import", "a", "--out"], "--out needs a value"],
  [["import", "a", "--out", "b", "--sequence", "0"], "--sequence is 0"],
  [["export", "a", "--out", "b", "--sequence", "8"], "--sequence goes with import"],
  [["import", "a", "--out", "b", "--dtype", "f16"], "Unknown flag --dtype"],
  [["import", "/nowhere", "--out", "/tmp/never"], "there is no such folder"],
  [["export", "/nowhere", "--out", "/tmp/never"], "there is no such folder"],
  [["import", LLAMA, "--out", FIXTURES], "is not empty"],
];

for (const [args, words] of BAD) {
  Deno.test(`convert ${args.join(" ")}: ${words}`, async () => {
    const { code, stdout, stderr } = await convert(...args);
    assertEquals([code, stdout], [1, ""]);
    assert(stderr.includes(words), stderr);
    assertEquals(stderr.split("\n").length, 2, stderr);
  });
}
