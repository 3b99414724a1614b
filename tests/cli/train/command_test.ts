import { assert, assertEquals, assertFalse, assertMatch } from "@std/assert";
import { TRAIN_FLAGS } from "../../../cli/train/flags.ts";
import { trainCommand } from "../../../cli/train/command.ts";
import { CONFIG_KEYS, parseConfig } from "../../../lib/train/mod.ts";
import { TemporaryFolder } from "../../temporary_folder.ts";
import { CapturedOutput } from "../captured_output.ts";

interface Result {
  readonly code: number;
  readonly result: string;
  readonly progress: string;
}

/** Runs the command, which must not get as far as training. */
async function run(...args: string[]): Promise<Result> {
  const output = new CapturedOutput();
  const code = await trainCommand(args, output, () => Promise.reject(new Error("it would train")));
  return { code, result: output.stdout, progress: output.stderr };
}

Deno.test("`train --help` lists every flag and every key", async () => {
  const { code, result, progress } = await run("--help");
  assertEquals([code, progress], [0, ""]);
  for (const name of Object.keys(TRAIN_FLAGS)) assert(result.includes(`  --${name}`), name);
  for (const { key } of CONFIG_KEYS) assert(result.includes(`\n  ${key} `), key);
  for (const line of result.split("\n")) assert(line.length <= 100, line);
});

Deno.test("`train --version` prints the package's version", async () => {
  const { code, result } = await run("--version");
  assertEquals(code, 0);
  assertMatch(result, /^remoe \d+\.\d+\.\d+\S*\n$/);
});

Deno.test("`train --dry-run` prints the resolved configuration and the sizes", async () => {
  const { code, result, progress } = await run("--dry-run", "--preset", "182m");
  assertEquals([code, progress], [0, ""]);
  const end = result.indexOf("\n}\n") + 2;
  assertEquals(parseConfig(JSON.parse(result.slice(0, end))), parseConfig({ preset: "182m" }));
  assertMatch(result, /Parameters +777M total, 183M active/);
  assertMatch(result, /FLOPs +972M per token, 995G per sequence, 510T per step/);
  assertMatch(result, /dense stage +sparse stage/);
});

Deno.test("`train --dry-run` leaves nothing behind", async () => {
  using folder = new TemporaryFolder();
  const out = `${folder.path}/run`;
  assertEquals((await run("--dry-run", "--out", out)).code, 0);
  assertEquals(Array.from(Deno.readDirSync(folder.path)), []);
});

Deno.test("`train` reports problems in one message and exits with code 1", async () => {
  const { code, result, progress } = await run("--steps", "none");
  assertEquals([code, result], [1, ""]);
  assertEquals(progress, "error: --steps is none, expected a whole number\n");
  assertEquals(
    (await run("--stpes", "5")).progress,
    "error: Unknown flag --stpes, did you mean --steps?\n",
  );
});

Deno.test("`train` shows a stack trace for its own bugs", async () => {
  const { code, progress } = await run();
  assertEquals(code, 1);
  assertMatch(progress, /^error: Error: it would train\n +at /);
});

Deno.test("`cli/train.ts` runs without a kernel library and exits with its code", async () => {
  using folder = new TemporaryFolder();
  const script = new URL("../../../cli/train.ts", import.meta.url).pathname;
  const command = (...args: string[]): Promise<Deno.CommandOutput> =>
    new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-lock", script, ...args],
      env: { REMOE_LIBRARY: "/nowhere.so", INIT_CWD: folder.path },
    }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  const dry = await command("--dry-run", "--out", "run");
  assertEquals(dry.code, 0, text(dry.stderr));
  assert(text(dry.stdout).includes(`"out": "${folder.path}/run"`));
  const wrong = await command("--preset", "milli");
  assertEquals(wrong.code, 1);
  assertFalse(text(wrong.stderr).includes("    at "));
  assert(text(wrong.stderr).includes('--preset is "milli", expected one of pico, nano'));
});
