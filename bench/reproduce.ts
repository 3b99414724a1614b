/**
 * Measures the paper's claims at a small scale: runs the comparisons of docs/reproduction.md.
 *
 *     deno task reproduce [--only NAME,…] [--data PATH] [--jobs N] [--out DIR] [-- FLAGS]
 *
 * Finished runs are kept, so the command resumes where it was stopped.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import {
  absolutePath,
  type Arguments,
  callingDirectory,
  parseFlags,
} from "../cli/shared/arguments.ts";
import { describeError } from "../cli/shared/errors.ts";
import { flagTable, table } from "../cli/shared/table.ts";
import { absoluteTextPath } from "../cli/shared/text_paths.ts";
import { ConfigError } from "../lib/errors.ts";
import { measureRouting, requireDomains } from "./reproduction/domains.ts";
import { type Experiment, EXPERIMENTS } from "./reproduction/experiments.ts";

const COMPARE = fileURLToPath(new URL("../cli/compare.ts", import.meta.url));

const FLAGS = {
  only: { value: "NAME,…", about: "Comparisons to run", fallback: "those of minutes" },
  data: {
    value: "PATH",
    repeat: true,
    about: "Text of several domains to train on, for domains: as for train",
  },
  "validation-data": {
    value: "PATH",
    repeat: true,
    about: "Text to validate on and to analyze",
    fallback: "documents held out of --data",
  },
  jobs: { value: "N", about: "Runs at once; they share the cores", fallback: "one per core" },
  out: { value: "DIR", about: "Folder for the comparisons", fallback: "runs/reproduction" },
  help: { about: "Print this help, and stop" },
} as const;

type Given = Arguments<typeof FLAGS>;

const HELP = `Measures the paper's claims at a small scale.

Usage: deno task reproduce [FLAGS] [-- FLAGS of compare]

${flagTable(FLAGS)}

Comparisons:
${table(EXPERIMENTS.map((each) => [each.name, `${each.claim}${conditionOf(each)}`]))}

Examples:
  deno task reproduce --only lambda0
  deno task reproduce --only domains --data 'corpus/*/train.jsonl.gz' \\
    --validation-data 'corpus/*/valid.jsonl.gz'
  deno task reproduce --only routers -- --seeds 10

Finished runs and analyses are kept; the same command resumes. What follows -- is added to the
comparison's own flags, and prevails. docs/reproduction.md has the results.`;

function conditionOf({ isLong, byDomain }: Experiment): string {
  return isLong ? " (a day; only with --only)" : byDomain ? " (only with --data)" : "";
}

/** Runs the chosen comparisons one after another; returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const end = args.includes("--") ? args.indexOf("--") : args.length;
  try {
    const given = parseFlags(args.slice(0, end), FLAGS);
    if (given.has("help")) {
      console.log(HELP);
      return 0;
    }
    const chosen = chosenBy(given);
    if (chosen.some(({ byDomain }) => byDomain)) await requireDomains(analyzedText(given));
    for (const experiment of chosen) {
      const code = await run(experiment, given, args.slice(end + 1));
      if (code !== 0) return code;
    }
    const left = EXPERIMENTS.filter((each) => !given.has("only") && !chosen.includes(each));
    for (const each of left) console.log(`Left out: ${each.name}${conditionOf(each)}`);
    return 0;
  } catch (error) {
    console.error(`error: ${describeError(error)}`);
    return 1;
  }
}

function chosenBy(given: Given): Experiment[] {
  const names = given.value("only")?.split(",").map((name) => name.trim());
  const wrong = names?.filter((name) => !EXPERIMENTS.some((each) => each.name === name)) ?? [];
  if (wrong.length > 0) {
    throw new ConfigError(
      `Cannot reproduce ${wrong.join(", ")}: expected ` +
        EXPERIMENTS.map(({ name }) => name).join(", "),
    );
  }
  const hasText = given.values("data").length > 0;
  const chosen = EXPERIMENTS.filter(({ name, isLong, byDomain }) =>
    names?.includes(name) ?? (!isLong && (!byDomain || hasText))
  );
  const needsText = chosen.some(({ byDomain }) => byDomain);
  if (needsText && !hasText) {
    throw new ConfigError(
      "Cannot reproduce domains without text of several domains: give --data " +
        "'corpus/*/train.jsonl.gz', or --data NAME=PATH for each",
    );
  }
  if (!needsText && (hasText || given.values("validation-data").length > 0)) {
    throw new ConfigError(
      "Cannot use --data or --validation-data: only domains reads text, and needs --data",
    );
  }
  return chosen;
}

/** The text that domains are compared on, or the text that it is held out of. */
function analyzedText(given: Given): string[] {
  const own = given.values("validation-data");
  const base = callingDirectory();
  return (own.length > 0 ? own : given.values("data")).map((path) => absoluteTextPath(path, base));
}

/** Trains the runs of a comparison and writes its tables. */
async function run(
  { name, claim, flags, byDomain }: Experiment,
  given: Given,
  more: readonly string[],
): Promise<number> {
  console.log(`${name}: ${claim}`);
  const passed = (flag: keyof typeof FLAGS): string[] =>
    given.values(flag).flatMap((value) => [`--${flag}`, value]);
  const own = byDomain ? [...passed("data"), ...passed("validation-data")] : ["--drop-weights"];
  const out = absolutePath(
    `${given.value("out") ?? "runs/reproduction"}/${name}`,
    callingDirectory(),
  );
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", COMPARE, ...flags, ...own, ...passed("jobs"), ...more, "--out", out],
  }).spawn().status;
  const isTold = ["--dry-run", "--help"].some((flag) => more.includes(flag));
  if (code !== 0 || !byDomain || isTold) return code;
  const routing = await measureRouting(out);
  if (routing === null) return 1;
  console.log(`\n${routing}\nRouting     ${out}/routing.md, routing.json`);
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
