/**
 * Measures the paper's claims at a small scale: runs the comparisons of docs/reproduction.md.
 *
 *     deno task reproduce [--only NAME,…] [--jobs N] [--out DIR]
 *
 * Finished runs are kept, so the command resumes where it was stopped.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { EXPERIMENTS } from "./reproduction/experiments.ts";

const COMPARE = new URL("../cli/compare.ts", import.meta.url).pathname;

const USAGE = `Usage: deno task reproduce [--only NAME,…] [--jobs N] [--out DIR]

${
  EXPERIMENTS.map(({ name, claim, isLong }) =>
    `  ${name.padEnd(12)} ${claim}${isLong ? " (a day; only with --only)" : ""}`
  ).join("\n")
}
`;

/** Runs the chosen comparisons one after another; returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const { only, out, jobs, help, _: rest, ...unknown } = parseArgs([...args], {
    string: ["only", "out", "jobs"],
    boolean: ["help"],
    default: { out: "runs/reproduction" },
  });
  if (help) {
    console.log(USAGE);
    return 0;
  }
  const names = only?.split(",");
  const wrong = [
    ...rest.map(String),
    ...Object.keys(unknown).map((name) => `--${name}`),
    ...(names ?? []).filter((name) => !EXPERIMENTS.some((each) => each.name === name)),
  ];
  if (wrong.length > 0) {
    console.error(`error: Cannot reproduce ${wrong.join(", ")}\n\n${USAGE}`);
    return 1;
  }
  const chosen = EXPERIMENTS.filter(({ name, isLong }) => names?.includes(name) ?? !isLong);
  for (const { name, claim, flags } of chosen) {
    console.log(`${name}: ${claim}`);
    const more = jobs === undefined ? [] : ["--jobs", jobs];
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", COMPARE, ...flags, ...more, "--drop-weights", "--out", `${out}/${name}`],
    }).spawn().status;
    if (code !== 0) return code;
  }
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
