import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";
import { runTrain, TestFolder, TINY, writeText } from "./run_train.ts";

const GENERATE = fileURLToPath(new URL("../../cli/generate.ts", import.meta.url));

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command in a folder, with text piped in. */
async function runGenerate(cwd: string, args: readonly string[], input = ""): Promise<Finished> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", GENERATE, ...args],
    cwd,
    env: { INIT_CWD: cwd, NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  // A command that fails early does not read its input.
  await writer.write(new TextEncoder().encode(input)).catch(() => {});
  await writer.close().catch(() => {});
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("generate continues texts with the model of a run", async (t) => {
  await using folder = await TestFolder.make();
  const text = await writeText(folder.path);
  const trained = await runTrain(
    [...TINY, "--data", text, "--steps", "2", "--out", "run"],
    folder.path,
  );
  assertEquals(trained.code, 0, trained.stderr);
  const run = (args: readonly string[], input?: string) =>
    runGenerate(folder.path, ["--run", "run", "--tokens", "12", ...args], input);

  await t.step(
    "a prompt by flag and by standard input, the same text for the same seed",
    async () => {
      const flag = await run(["--prompt", "Line", "--seed", "4"]);
      assertEquals(flag.code, 0, flag.stderr);
      assert(flag.stdout.startsWith("Line") && flag.stdout.length > 6, flag.stdout);
      assertMatch(flag.stderr, /12 tokens in .*tokens\/s/);
      assertEquals((await run(["--seed", "4"], "Line\n")).stdout, flag.stdout);
      assertEquals((await run(["--seed", "5"], "Line")).stdout === flag.stdout, false);
    },
  );

  await t.step("more tokens than memory holds", async () => {
    const { code, stdout, stderr } = await run(["--prompt", "Line", "--tokens", "2000000000"]);
    assertEquals([code, stdout], [1, ""]);
    assertMatch(stderr, /error: --tokens: .*tokens is 2000000000, .*ask for fewer tokens/);
  });

  await t.step("several prompts as JSON", async () => {
    await Deno.writeTextFile(`${folder.path}/prompts.txt`, "One\nTwo\n");
    const { stdout, code } = await run(["--prompts", "prompts.txt", "--prompt", "Three", "--json"]);
    assertEquals(code, 0);
    const answers = stdout.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(answers.map(({ prompt }) => prompt), ["Three", "One", "Two"]);
    assert(answers.every(({ tokens, finish }) => tokens === 12 && finish === "length"));
  });

  await t.step("texts longer than in training are pointed out", async () => {
    assertStringIncludes((await run(["--prompt", "x".repeat(40)])).stderr, "32 tokens");
  });

  await t.step("unusable input ends with code 1 and one line", async () => {
    await Deno.writeFile(`${folder.path}/binary`, Uint8Array.of(0, 255));
    await Deno.mkdir(`${folder.path}/empty`);
    const wrong: [string[], string][] = [
      [["--top-k", "0"], "--top-k is 0"],
      [["--temperature", "warm"], "--temperature is warm"],
      [["--stop", ""], "--stop is empty"],
      [["--device", "tpu"], "--device is tpu"],
      [["--prompt-file", "binary"], "binary as a prompt"],
      [["--prompt-file", "missing"], "Cannot read missing"],
      [["--run", "empty"], "Cannot open the run"],
      [["--tonkens", "3"], "did you mean --tokens?"],
    ];
    for (const [args, message] of wrong) {
      const { code, stdout, stderr } = await run(args);
      assertEquals([code, stdout], [1, ""], stderr);
      assertStringIncludes(stderr, message);
      assertEquals(stderr.trim().split("\n").length, 1, stderr);
    }
  });
});
