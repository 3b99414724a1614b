import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { parseFlags } from "../../../cli/shared/arguments.ts";
import { ConfigError } from "../../../lib/errors.ts";

const FLAGS = {
  steps: { value: "N", about: "" },
  lr: { value: "X", about: "" },
  data: { value: "PATH", repeat: true, about: "" },
  "dry-run": { about: "" },
  help: { about: "" },
} as const;

function failure(...args: string[]): string {
  return assertThrows(() => parseFlags(args, FLAGS), ConfigError).message;
}

Deno.test("`parseFlags()` reads values after a space or an equals sign", () => {
  const given = parseFlags(["--steps", "5", "--lr=1e-3", "--dry-run"], FLAGS);
  assertEquals([given.value("steps"), given.value("lr")], ["5", "1e-3"]);
  assert(given.has("steps") && given.has("dry-run"));
  assertFalse(given.has("data") || given.has("help"));
  assertEquals(given.value("data"), undefined);
  assertEquals(given.values("data"), []);
});

Deno.test("`parseFlags()` accepts values that start with a dash or contain an equals sign", () => {
  assertEquals(parseFlags(["--lr", "-1e-3"], FLAGS).value("lr"), "-1e-3");
  assertEquals(parseFlags(["--data=a=b"], FLAGS).value("data"), "a=b");
  assertEquals(parseFlags(["--data", "a\nb"], FLAGS).value("data"), "a\nb");
});

Deno.test("`parseFlags()` keeps strings verbatim, and every value of a repeated flag", () => {
  const given = parseFlags(
    ["--data", "007", "--data", "true", "--steps", "1", "--steps", "2"],
    FLAGS,
  );
  assertEquals(given.values("data"), ["007", "true"]);
  assertEquals(given.value("steps"), "2");
});

Deno.test("`parseFlags()` refuses unknown flags and suggests the nearest", () => {
  assertEquals(failure("--setps", "5"), "Unknown flag --setps, did you mean --steps?");
  assertEquals(failure("--wallpaper"), "Unknown flag --wallpaper, see --help");
  assertEquals(
    failure("--model.layers=4"),
    "Unknown flag --model.layers; set keys of the configuration with --set model.layers=…",
  );
  assertEquals(failure("--toString"), "Unknown flag --toString, see --help");
  assertEquals(failure("--no-dry-run"), "Unknown flag --no-dry-run, did you mean --dry-run?");
});

Deno.test("`parseFlags()` refuses missing and superfluous values", () => {
  const needed = "--steps needs a value: --steps N";
  assertEquals(failure("--steps"), needed);
  assertEquals(failure("--steps="), "--steps is empty; give --steps N");
  assertEquals(failure("--steps", ""), "--steps is empty; give --steps N");
  assertEquals(failure("--steps", "--dry-run"), needed);
  assertEquals(failure("--dry-run=yes"), "--dry-run takes no value, got yes");
});

Deno.test("`parseFlags()` refuses stray arguments, `--` and unknown short flags", () => {
  assertEquals(failure("train"), "Unexpected argument train; see --help");
  assertEquals(failure("--dry-run", "5"), "Unexpected argument 5; see --help");
  assertEquals(failure("--"), "Unexpected argument --; see --help");
  assertEquals(failure("-x"), "Unexpected argument -x; see --help");
  assert(parseFlags(["-h"], FLAGS).has("help"));
});

Deno.test("`parseFlags()` accepts operands only if the command does", () => {
  const given = parseFlags(["a", "--steps", "5", "12", "--dry-run", "c"], FLAGS, {
    operands: true,
  });
  assertEquals(given.operands, ["a", "12", "c"]);
  assertEquals([given.value("steps"), given.has("dry-run")], ["5", true]);
  assertThrows(() => parseFlags(["-x"], FLAGS, { operands: true }), ConfigError, "-x; see --help");
  assertThrows(() => parseFlags(["a"], FLAGS), ConfigError, "Unexpected argument a");
});
