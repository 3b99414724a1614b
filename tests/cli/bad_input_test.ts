import { assert, assertEquals } from "@std/assert";
import { gzipSync } from "node:zlib";
import { TemporaryFolder } from "../temporary_folder.ts";
import { assertRefused, runGenerate, runTrain, snapshot, writeText } from "./refusal.ts";

/** A command line, and words that its one message must contain. */
type Case = readonly [args: readonly string[], ...words: string[]];

/** Detected before anything else is read. */
const FLAGS: readonly Case[] = [
  [["--exprts", "8"], "--exprts", "did you mean --experts?"],
  [["--zzzzqqq"], "--zzzzqqq", "--help"],
  [["--set", "model.layrs=2"], "model.layrs", "did you mean model.layers?"],
  [["--set", "lr=2"], "unknown key lr", "did you mean optimizer.lr?"],
  [["--set", "__proto__.x=1"], "__proto__"],
  [["--set", "model=5"], "model is 5"],
  [["--model.layers=2"], "--set model.layers="],
  [["--steps"], "--steps needs a value"],
  [["--out", ""], "--out is empty"],
  [["stray"], "stray"],
  [["--experts", "two"], "--experts is two", "whole number"],
  [["--experts", "2.5"], "2.5"],
  [["--steps", "-3"], "-3"],
  [["--seed", "1.5"], "--seed is 1.5", "whole number"],
  [["--seed", "9007199254740992"], "--seed is 9007199254740992"],
  [["--set", "seed=1.5"], "seed is 1.5", "whole number"],
  [["--steps", "1e300"], "--steps"],
  [["--lr", "NaN"], "--lr", "NaN"],
  [["--set", "moe.renormalize=1"], "moe.renormalize is 1", "true or false"],
  [["--preset", "milli"], "milli", "nano"],
  [["--device", "tpu"], "tpu", "cuda"],
  [["--granularity", "7"], "model.ffn", "moe.granularity (7)"],
  [["--set", "model.heads=5", "--set", "model.groups=5"], "model.hidden", "model.heads (5)"],
  [["--set", "model.groups=3"], "model.heads is 4", "model.groups (3)"],
  [["--set", "model.hidden=12"], "even size of a head"],
  [["--set", "model.hidden=1000000000"], "model.ffn is 4000000000", "below 2^31"],
  [["--active", "9"], "moe.active is 9", "moe.experts (8)"],
  [["--active", "0"], "--active is 0"],
  [["--set", "data.micro_batch=3"], "data.batch is 4", "data.micro_batch (3)"],
  [["--set", "model.vocabulary=5"], "model.vocabulary is 5", "257"],
  [["--weights", "text=-1"], "--weights", "-1"],
  [["--weights", "text"], "--weights", "text"],
  [["--config", "none.json"], "none.json", "no such file"],
  [["--config", "bad.json"], "bad.json", "JSON"],
  [["--config", "bad.jsonc"], "bad.jsonc", "JSONC"],
  [["--config", "bad.yaml"], "bad.yaml"],
  [["--config", "binary.yaml"], "binary.yaml", "UTF-8"],
  [["--config", "unknown.yaml"], "unknown.yaml", "did you mean steps?"],
  [["--config", "list.json"], "list.json", "[1]"],
  [["--config", "folder.json"], "folder.json", "it is a folder"],
  [["--config", "config.toml"], "config.toml", ".yaml"],
];

/** Detected once the text is read. */
const TEXTS: readonly Case[] = [
  [["--data", "missing.txt"], "missing.txt", "no such file or folder"],
  [["--data", "empty.txt"], "empty.txt", "empty"],
  [["--data", "short.txt"], "33 tokens", "9", "shorter sequence"],
  [["--data", "text", "--sequence", "100000", "--batch", "1"], "100001 tokens"],
  [["--data", "binary.txt"], "binary.txt", "byte 2 is NUL"],
  [["--data", "latin.txt"], "latin.txt", "not UTF-8"],
  [["--data", "hollow"], "hollow", "*.txt"],
  [["--data", "*.nothing"], "*.nothing", "matches"],
  [["--data", "config.toml"], "config.toml", "*.jsonl"],
  [["--data", "/dev/null"], "/dev/null", "neither a file nor a folder"],
  [["--data", "cut.jsonl"], "line 2", "cut.jsonl", "not JSON"],
  [["--data", "lacks.jsonl"], "line 3", "lacks.jsonl", "text"],
  [["--data", "number.jsonl"], "line 1", "number.jsonl", "text"],
  [["--data", "list.jsonl"], "line 1", "list.jsonl", "object"],
  [["--data", "domain.jsonl"], "line 1", "domain.jsonl", "domain"],
  [["--data", "cut.txt.gz"], "cut.txt.gz", "gzip", "cut off"],
  [["--data", "flipped.txt.gz"], "flipped.txt.gz", "gzip", "damaged"],
  [["--data", "plain.txt.gz"], "plain.txt.gz", "gzip"],
  [["--data", "text", "--weights", "nope=2"], "nope", "text"],
  [["--data", "text", "--weights", "text=0"], "every weight is 0"],
  [["--data", "text", "--set", 'data.validation_paths=["short.txt"]'], "validation text", "33"],
  [["--data", "text", "--set", 'data.validation_paths=["gone"]'], "gone", "no such file"],
];

const LONG = "x".repeat(300);

/** Refused by the system, in its own words. */
const SYSTEM: readonly Case[] = [
  [["--resume", LONG], LONG, "a part of its name is too long"],
  [["--resume", "loop"], "loop", "links lead in a circle"],
  [["--config", "loop"], "loop"],
  [["--data", "text", "--out", `${LONG}/run`], LONG, "too long"],
  [["--data", "text", "--out", "loop/run"], "loop", "links lead in a circle"],
];

/** Detected when the run directory is created. */
const DIRECTORIES: readonly Case[] = [
  [["--data", "text", "--out", "empty.txt"], "empty.txt", "something else of that name"],
  [["--data", "text", "--out", "empty.txt/run"], "empty.txt/run", "not a folder"],
  [["--data", "text", "--out", "text"], "text", "not empty (", "another directory"],
];

const GENERATE: readonly Case[] = [
  [[], "--run DIR"],
  [["--run", "gone"], "gone", "no such folder"],
  [["--run", "empty.txt"], "empty.txt", "config.json is missing"],
  [["--run", "hollow"], "hollow", "config.json is missing"],
  [["--run", "x", "--tempature", "1"], "did you mean --temperature?"],
  [["--run", "x", "--prompt", ""], "--prompt is empty"],
  [["--run", "x", "--prompt-file", "gone"], "gone", "no such file"],
  [["--run", "x", "--prompt-file", "text"], "text", "it is a folder"],
  [["--run", "x", "--prompt-file", "binary.txt"], "binary.txt", "UTF-8"],
  [["--run", "x", "--prompt-file", "latin.txt"], "latin.txt", "UTF-8"],
  [["--run", "x", "--prompts", "empty.txt"], "empty.txt", "holds no prompt"],
  [["--run", "x", "--tokens", "0"], "--tokens is 0", "at least 1"],
  [["--run", "x", "--tokens", "-5"], "--tokens is -5"],
  [["--run", "x", "--tokens", "1.5"], "--tokens is 1.5", "whole number"],
  [["--run", "x", "--temperature", "-1"], "--temperature is -1"],
  [["--run", "x", "--temperature", "0x10"], "--temperature is 0x10"],
  [["--run", "x", "--temperature", "NaN"], "--temperature is NaN"],
  [["--run", "x", "--top-k", "0"], "--top-k is 0"],
  [["--run", "x", "--top-p", "0"], "--top-p is 0", "above 0 and at most 1"],
  [["--run", "x", "--top-p", "1.5"], "--top-p is 1.5"],
  [["--run", "x", "--seed", "x"], "--seed is x"],
  [["--run", "x", "--seed", "1.5"], "--seed is 1.5", "whole number"],
  [["--run", "x", "--tokens", "99999999999"], "--tokens is 99999999999", "2147483647"],
  [["--run", "x", "--device", "tpu"], "--device is tpu"],
  [["--run", "x", "--dtype", "fp16"], "--dtype is fp16, expected one of f32, bf16"],
];

function writeInputs(folder: string): void {
  const text = (name: string, content: string) =>
    Deno.writeTextFileSync(`${folder}/${name}`, content);
  const bytes = (name: string, content: Uint8Array) =>
    Deno.writeFileSync(`${folder}/${name}`, content);
  writeText(folder);
  Deno.mkdirSync(`${folder}/hollow`);
  Deno.mkdirSync(`${folder}/folder.json`);
  Deno.symlinkSync("loop", `${folder}/loop`);
  text("bad.json", '{"steps": 5,');
  text("bad.jsonc", '{"steps": 5, /* ');
  text("bad.yaml", "steps: [1, 2\nseed: }");
  bytes("binary.yaml", Uint8Array.of(0xff, 0xfe, 0, 1));
  text("unknown.yaml", "stpes: 5\n");
  text("list.json", "[1]");
  text("config.toml", "steps = 1");
  text("empty.txt", "");
  text("short.txt", "too short");
  bytes("binary.txt", Uint8Array.of(65, 66, 0, 255));
  bytes("latin.txt", Uint8Array.of(0x63, 0x61, 0x66, 0xe9, 0x20));
  text("cut.jsonl", '{"text": "one"}\n{"text": "two"\n');
  text("lacks.jsonl", '{"text": "one"}\n\n{"body": "two"}\n');
  text("number.jsonl", '{"text": 5}\n');
  text("list.jsonl", '["one"]\n');
  text("domain.jsonl", '{"text": "one", "domain": 3}\n');
  const zipped = gzipSync("A line of text that is worth compressing. ".repeat(2000));
  bytes("cut.txt.gz", zipped.subarray(0, zipped.length / 2));
  bytes("flipped.txt.gz", zipped.map((byte, i) => i === zipped.length - 6 ? byte ^ 1 : byte));
  text("plain.txt.gz", "not compressed");
}

Deno.test("`train` refuses unusable input in one message, and leaves nothing behind", async (t) => {
  using folder = new TemporaryFolder();
  writeInputs(folder.path);
  const before = snapshot(folder.path);
  const out = (args: readonly string[]) => args.includes("--out") ? args : [...args, "--out=run"];
  for (const [args, ...words] of [...FLAGS, ...TEXTS, ...SYSTEM, ...DIRECTORIES]) {
    await t.step(args.join(" "), async () => {
      assertRefused(await runTrain(folder.path, out(args)), ...words);
      assertEquals(snapshot(folder.path), before);
    });
  }
  await Deno.remove(`${folder.path}.cache`, { recursive: true });
});

Deno.test("a path's control characters do not reach the terminal", async () => {
  using folder = new TemporaryFolder();
  const { code, stderr } = await runTrain(folder.path, ["--data", "a\u001b[31m\u009b.txt"]);
  assertEquals(code, 1);
  assert(stderr.includes("a\\u001b[31m\\u009b.txt: "), stderr);
  // deno-lint-ignore no-control-regex -- what is looked for
  assert(!/[\x1b\x9b]/.test(stderr), stderr);
});

Deno.test("`generate` refuses unusable input in one message", async (t) => {
  using folder = new TemporaryFolder();
  writeInputs(folder.path);
  for (const [args, ...words] of GENERATE) {
    await t.step(args.join(" ") || "no flags", async () => {
      assertRefused(await runGenerate(folder.path, args), ...words);
    });
  }
});
