/** Every flag of every command that is a whole number is read in one way. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ANALYZE_FLAGS } from "../../../cli/analyze/flags.ts";
import { COMPARE_FLAGS } from "../../../cli/compare/flags.ts";
import { CONVERT_FLAGS } from "../../../cli/convert/flags.ts";
import { DOCTOR_FLAGS } from "../../../cli/doctor.ts";
import { GENERATE_FLAGS } from "../../../cli/generate/flags.ts";
import { PLOT_FLAGS } from "../../../cli/plot/flags.ts";
import { SERVE_FLAGS } from "../../../cli/serve/flags.ts";
import { type Flags, parseFlags } from "../../../cli/shared/arguments.ts";
import { TRAIN_FLAGS } from "../../../cli/train/flags.ts";
import { ConfigError } from "../../../lib/errors.ts";

const TABLES: Readonly<Record<string, Flags>> = {
  analyze: ANALYZE_FLAGS,
  compare: COMPARE_FLAGS,
  convert: CONVERT_FLAGS,
  doctor: DOCTOR_FLAGS,
  generate: GENERATE_FLAGS,
  plot: PLOT_FLAGS,
  serve: SERVE_FLAGS,
  train: TRAIN_FLAGS,
};

/** What the help calls a whole number. */
const PLACEHOLDERS = ["N", "STEP", "E", "k", "G", "B", "T", "S"];

const BAD = ["0x2", "0b1", "1e3", "2.0", "2.", "1.5", " 2", "2 ", "1_000", "1,000", "２", "two"];
const UNSAFE = "9007199254740992";

for (const [command, table] of Object.entries(TABLES)) {
  const names = Object.keys(table).filter((name) => table[name]!.whole !== undefined);

  Deno.test(`the flags of ${command} that are whole numbers refuse anything else`, () => {
    assert(names.length > 0);
    for (const name of names) {
      for (const text of [...BAD, "NaN", "Infinity", UNSAFE]) {
        assertThrows(
          () => parseFlags([`--${name}=${text}`], table),
          ConfigError,
          `--${name} is ${text}, expected a whole number`,
        );
      }
      const given = parseFlags([`--${name}`, "0x2", `--${name}=0012`], table);
      assertEquals(given.whole(name as never), 12);
      assertEquals(parseFlags([], table).whole(name as never), undefined);
    }
  });

  Deno.test(`${command} says of every whole number that it is one`, () => {
    const called = Object.keys(table).filter((name) =>
      PLACEHOLDERS.includes(table[name]!.value ?? "")
    );
    assertEquals(names, called);
  });
}

Deno.test("a whole number out of range is refused with its bounds", () => {
  const flags = { n: { value: "N", whole: { least: 0, most: 9 }, about: "" } } as const;
  const failure = (text: string): string =>
    assertThrows(() => parseFlags([`--n=${text}`], flags), ConfigError).message;
  const expected = "expected a whole number of at least 0 and at most 9";
  assertEquals(failure("-1"), `--n is -1, ${expected}`);
  assertEquals(failure("10"), `--n is 10, ${expected}`);
  assertEquals(parseFlags(["--n=+9"], flags).whole("n"), 9);
});
