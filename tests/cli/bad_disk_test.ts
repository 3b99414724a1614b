import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { findRun, JsonlSink, listCheckpoints, RunDirectory } from "../../lib/train/mod.ts";
import { FileError } from "../../lib/errors.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { assertRefused, type Finished, runTrain, snapshot, writeText } from "./refusal.ts";

const SCRIPTS = fileURLToPath(new URL("../../cli", import.meta.url));
const IS_WINDOWS = Deno.build.os === "windows";

/** Runs a command through a shell that first restricts it. */
async function runShell(folder: string, shell: string, args: string[]): Promise<Finished> {
  const [script, ...flags] = args;
  // Deno's code cache should not count against the limits.
  const deno = [Deno.execPath(), "run", "-A", "--no-code-cache", `${SCRIPTS}/${script}`];
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", `${shell} "$@"`, "sh", ...deno, ...flags],
    env: { INIT_CWD: folder, NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** A folder with a text and a three-step run trained on it. */
async function makeRun(folder: string): Promise<string> {
  writeText(folder);
  const { code, stderr } = await runTrain(folder, [
    "--set=model.hidden=16",
    "--set=model.ffn=32",
    "--data=text",
    "--out=run",
  ]);
  assertEquals(code, 0, stderr);
  return `${folder}/run`;
}

/**
 * A command prefix that makes root obey permissions; empty if they already apply, null if there is
 * none.
 */
function bound(): string | null {
  if (Deno.uid() !== 0) return "exec";
  const drop = "--bounding-set=-dac_override,-dac_read_search";
  try {
    const { success } = new Deno.Command("setpriv", { args: [drop, "true"] }).outputSync();
    return success ? `exec setpriv ${drop}` : null;
  } catch {
    return null;
  }
}

Deno.test({
  name: "a file that cannot grow ends a run, which then goes on from its last checkpoint",
  ignore: IS_WINDOWS,
  async fn(t) {
    using folder = new TemporaryFolder();
    const run = await makeRun(folder.path);
    const before = listCheckpoints(`${run}/checkpoints`);
    // This makes Deno write its caches for the command now.
    await runShell(folder.path, "exec", ["train.ts", "--help"]);
    const limits: [file: string, kib: number, steps: number][] = [
      ["model.safetensors", 64, 5],
      ["metrics.jsonl", 8, 60],
    ];
    for (const [file, kib, steps] of limits) {
      await t.step(`${file} within ${kib} KiB`, async () => {
        const args = ["train.ts", "--resume", "run", "--steps", `${steps}`];
        const every = "--set=checkpoint.every=0";
        // POSIX counts in blocks of 512 bytes, bash in 1024.
        const limit = `if [ -n "$BASH_VERSION" ]; then ulimit -f ${kib}; else ulimit -f ${
          2 * kib
        }; fi; exec`;
        const result = await runShell(folder.path, limit, [...args, every]);
        assertRefused(result, "Cannot write", file, "too large", before[0]!.path, "resume");
        assertEquals(listCheckpoints(`${run}/checkpoints`), before);
        const names = [...Deno.readDirSync(`${run}/checkpoints`)].map(({ name }) => name);
        assertEquals(names, ["step-000003"], "nothing half-written is left");
      });
    }
    const { code, stderr } = await runTrain(folder.path, ["--resume", "run", "--steps", "4"]);
    assertEquals(code, 0, stderr);
    await Deno.remove(`${folder.path}.cache`, { recursive: true });
  },
});

Deno.test({
  name: "`JsonlSink` names the file that a full disk keeps it from writing",
  ignore: Deno.build.os !== "linux",
  fn() {
    using sink = new JsonlSink("/dev/full");
    try {
      sink.write({ step: 1, valid_loss: 1, valid_bits_per_byte: 1 });
    } catch (error) {
      assert(error instanceof FileError);
      assertEquals(error.path, "/dev/full");
      assertEquals(
        error.message,
        "Cannot write /dev/full: no space is left on the device, make room",
      );
      return;
    }
    throw new Error("it wrote to a full disk");
  },
});

Deno.test({
  name: "what may not be read or written is named",
  ignore: IS_WINDOWS || bound() === null,
  async fn(t) {
    using folder = new TemporaryFolder();
    const run = await makeRun(folder.path);
    const shell = bound()!;
    const cases: [path: string, args: string[], ...words: string[]][] = [
      ["text/3.txt", ["--data=text", "--out=new"], "text/3.txt"],
      ["config.yaml", ["--config=config.yaml"], "config.yaml"],
      ["locked", ["--data=moved", "--out=locked/new"], "locked/new"],
      ["run/config.json", ["--resume=run"], "run/config.json"],
      ["run/checkpoints/step-000003/model.safetensors", ["--resume=run"], "model.safetensors"],
      ["run/.lock", ["--resume=run"], "run/.lock"],
    ];
    Deno.writeTextFileSync(`${folder.path}/config.yaml`, "steps: 3\n");
    Deno.mkdirSync(`${folder.path}/locked`);
    const before = snapshot(folder.path);
    for (const [path, args, ...words] of cases) {
      await t.step(path, async () => {
        const { mode } = Deno.statSync(`${folder.path}/${path}`);
        // A cached text that looks unchanged would not be read again.
        const cache = args[0]!.startsWith("--resume") ? [] : ["--set=data.cache=none"];
        Deno.chmodSync(`${folder.path}/${path}`, path === "locked" ? 0o555 : 0);
        const result = await runShell(folder.path, shell, ["train.ts", ...args, ...cache]);
        Deno.chmodSync(`${folder.path}/${path}`, mode! & 0o777);
        assertRefused(result, ...words, "the system does not allow it");
        assertEquals(snapshot(folder.path), before);
      });
    }
    assertEquals(findRun(run).path, run);
    await Deno.remove(`${folder.path}.cache`, { recursive: true });
  },
});

Deno.test("a directory in which another process trains is left alone", async () => {
  using folder = new TemporaryFolder();
  const path = await makeRun(folder.path);
  {
    const found = findRun(path);
    const { directory, checkpoint } = RunDirectory.resume(found, found.config);
    using _directory = directory;
    using _checkpoint = checkpoint;
    const before = snapshot(path);
    for (const args of [["--resume", "run"], ["--data=text", "--out=run"]]) {
      const words = [`process ${Deno.pid} is training in it`, `${path}/.lock`];
      assertRefused(await runTrain(folder.path, args), ...words);
    }
    assertEquals(snapshot(path), before);
  }
  assertEquals((await runTrain(folder.path, ["--resume", "run", "--steps", "4"])).code, 0);
  await Deno.remove(`${folder.path}.cache`, { recursive: true });
});
