/**
 * Compares experts copied from a dense model with experts trained from scratch: docs/init-from.md.
 *
 *     deno task reproduce:upcycling [--seeds N] [--dense-steps N] [--steps N] [--out DIR] [-- FLAGS]
 *
 * Finished runs are kept, so the command resumes where it was stopped.
 *
 * @module
 */

import { absolutePath, callingDirectory, parseFlags } from "../cli/shared/arguments.ts";
import { describeError } from "../cli/shared/errors.ts";
import { flagTable } from "../cli/shared/table.ts";
import { type RunFigures, runOnce } from "./upcycling/runs.ts";
import { report, type SeedRuns } from "./upcycling/report.ts";

const ROUTERS = ["relu", "topk"] as const;

/** Other ways to copy, by the name that they add to a run's. */
const WAYS: Readonly<Record<string, readonly string[]>> = {
  "not rescaled": ["--set", "init.rescale=false"],
  "noise 0.3": ["--upcycle-noise", "0.3"],
  "in 4 parts": ["--granularity", "4"],
};

const FLAGS = {
  seeds: { value: "N", whole: { least: 1 }, about: "Seeds, from 0", fallback: "3" },
  "dense-steps": {
    value: "N",
    whole: { least: 1 },
    about: "Steps of the dense model",
    fallback: "300",
  },
  steps: {
    value: "N",
    whole: { least: 1 },
    about: "Steps after it, and of the runs from scratch at equal additional compute",
    fallback: "200",
  },
  out: { value: "DIR", about: "Folder for the runs", fallback: "runs/upcycling" },
  help: { about: "Print this help, and stop" },
} as const;

const HELP = `Compares upcycling with training from scratch.

Usage: deno task reproduce:upcycling [FLAGS] [-- FLAGS of train]

${flagTable(FLAGS)}

Finished runs are kept; the same command resumes. docs/init-from.md has the results.`;

async function main(args: readonly string[]): Promise<number> {
  const end = args.includes("--") ? args.indexOf("--") : args.length;
  try {
    const given = parseFlags(args.slice(0, end), FLAGS);
    if (given.has("help")) {
      console.log(HELP);
      return 0;
    }
    const out = absolutePath(given.value("out") ?? "runs/upcycling", callingDirectory());
    const all: SeedRuns[] = [];
    for (let seed = 0; seed < (given.whole("seeds") ?? 3); seed++) {
      all.push(
        await runsOf(seed, {
          out: `${out}/seed-${seed}`,
          dense: given.whole("dense-steps") ?? 300,
          steps: given.whole("steps") ?? 200,
          flags: ["--preset", "pico", ...args.slice(end + 1), "--seed", `${seed}`],
        }),
      );
      console.log(`\n${report(all)}\n`);
    }
    return 0;
  } catch (error) {
    console.error(`error: ${describeError(error)}`);
    return 1;
  }
}

interface Plan {
  readonly out: string;
  readonly dense: number;
  readonly steps: number;
  readonly flags: readonly string[];
}

/** All runs of a seed. */
async function runsOf(seed: number, plan: Plan): Promise<SeedRuns> {
  const { out, steps, flags } = plan;
  const run = (name: string, count: number, ...more: string[]): Promise<RunFigures> =>
    runOnce(`${out}/${name}`, count, [...flags, ...more]);
  const from = (name: string): string[] => ["--init-from", `${out}/${name}`];
  const runs = new Map<string, RunFigures>();
  const dense = await run("dense", plan.dense, "--router", "dense");
  runs.set("dense", dense);
  runs.set("dense, continued", await run("dense-on", steps, ...from("dense")));
  for (const router of ROUTERS) {
    const choice = ["--router", router];
    const upcycled = await run(`${router}-upcycled`, steps, ...from("dense"), ...choice);
    // The dense run's work, in steps of the sparse stage.
    const total = steps + Math.round(dense.gflops / upcycled.lastGflops);
    runs.set(`${router}, upcycled`, upcycled);
    for (const [way, own] of Object.entries(WAYS)) {
      const name = `${router}-${way.replaceAll(" ", "-")}`;
      runs.set(
        `${router}, upcycled ${way}`,
        await run(name, steps, ...from("dense"), ...choice, ...own),
      );
    }
    runs.set(`${router}, equal additional compute`, await run(`${router}-short`, steps, ...choice));
    runs.set(`${router}, equal total compute`, await run(`${router}-long`, total, ...choice));
  }
  const relu = [...from("topk-short"), "--router", "relu"];
  runs.set("topk to relu", await run("topk-to-relu", steps, ...relu));
  const early = [...relu, "--set", "moe.lambda0=1e-4"];
  runs.set("topk to relu, λ₀ 1e-4", await run("topk-to-relu-early", steps, ...early));
  return { seed, runs };
}

if (import.meta.main) Deno.exit(await main(Deno.args));
