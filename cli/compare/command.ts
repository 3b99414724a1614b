/**
 * `compare`: from a command line to a table of routers.
 *
 * @module
 */

import type { DeviceInfo } from "../../lib/autograd/device_options.ts";
import { divideMemory } from "../../lib/compare/job_memory.ts";
import { type ComparePlan, comparePlan, type PlannedRun } from "../../lib/compare/plan.ts";
import {
  type CompareContext,
  type CompareResults,
  compareResults,
} from "../../lib/compare/results.ts";
import { RunStore } from "../../lib/compare/run_store.ts";
import { type RunOutcome, summarize } from "../../lib/compare/summary.ts";
import { Texts } from "../../lib/compare/texts.ts";
import { withComputeType } from "../../lib/config/compute_type.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { ConfigError } from "../../lib/errors.ts";
import { availableCores } from "../../lib/machine.ts";
import { visibleName } from "../../lib/visible.ts";
import { absolutePath, callingDirectory } from "../shared/arguments.ts";
import { describeError } from "../shared/errors.ts";
import { formatSeconds } from "../shared/format.ts";
import { Interrupt, INTERRUPTED } from "../shared/interrupt.ts";
import { openDevice } from "../shared/open_device.ts";
import type { Output } from "../shared/output.ts";
import { requirePermissions } from "../shared/permissions.ts";
import { flagTable } from "../shared/table.ts";
import { problemsAhead } from "../train/dry_run_problems.ts";
import type { Render } from "../shared/render.ts";
import type { Launch } from "./child.ts";
import { dryRunReport, measureSpeed } from "./dry_run.ts";
import { decimal } from "../shared/numbers.ts";
import { COMPARE_FLAGS, type CompareArguments, parseCompareFlags } from "./flags.ts";
import { CompareProgress } from "./progress.ts";
import { outcomesSoFar, workOff } from "./queue.ts";
import { writeReport, writeResults } from "./report.ts";
import { type CompareRequest, compareRequest } from "./request.ts";
import { terminalTable } from "./table.ts";

/** What the command depends on; tests supply their own. */
export interface CompareTools {
  /** Trains a run in its own process. */
  readonly launch: Launch;
  /** Loads the renderer; called only if there is something to draw. */
  readonly loadRenderer: () => Promise<Render>;
}

const HELP = `Compares routers: trains each under several seeds and writes a table with intervals.

Usage: deno run -A cli/compare.ts --out DIR [FLAGS]

${flagTable(COMPARE_FLAGS)}

Examples:
  deno task compare --routers dense,topk,relu --preset pico --out runs/pico
  deno task compare --preset nano --steps 2000 --match compute --out runs/headline
  deno task compare --routers relu --sweep lambda0=1e-12,1e-8,1e-4 --preset pico --out runs/lambda
  deno task compare --routers topk --variant soft=topk:balance_coefficient=0.001 --out runs/soft

Each run is a separate process. Ctrl-C saves all of them; the same command resumes, and one with
more seeds, rows or cells reuses every run they have in common. docs/compare.md explains the table.
Errors exit with code 1.`;

/**
 * Runs the command.
 *
 * @param args The command line.
 * @param output Where to write.
 * @param tools What it depends on.
 * @returns The exit code.
 */
export async function compareCommand(
  args: readonly string[],
  output: Output,
  tools: CompareTools,
): Promise<number> {
  try {
    const given = parseCompareFlags(args);
    if (given.has("help")) {
      output.result(HELP);
      return 0;
    }
    const base = callingDirectory();
    const out = given.value("out");
    if (out === undefined) throw new ConfigError("Where to? Give --out DIR; see --help");
    await requirePermissions("compare", { read: [absolutePath(out, base)] }, base);
    return await compare(args, absolutePath(out, base), output, tools);
  } catch (error) {
    output.progress(`error: ${describeError(error)}\n`);
    return 1;
  }
}

/** The checked command line and what follows from it. */
interface Task {
  readonly out: string;
  readonly plan: ComparePlan;
  readonly context: CompareContext;
  /** What the texts hold now. */
  readonly texts: Texts;
  readonly jobs: number;
  /** Settings of every process that change no figures. */
  readonly over: (config: TrainConfig) => Pick<TrainConfig, "threads" | "memory">;
  /** Expected FLOPs per second of a job. */
  readonly speed: number;
}

async function compare(
  args: readonly string[],
  out: string,
  output: Output,
  tools: CompareTools,
): Promise<number> {
  const [given, base] = [parseCompareFlags(args), callingDirectory()];
  const task = await prepare(given, base, out, commandLine(args));
  if (given.has("dry-run")) {
    output.result(dryRunReport(task.plan, RunStore.look(out, task.texts), task.jobs, task.speed));
    return 0;
  }
  using store = RunStore.open(out, task.texts);
  const notices = [...task.context.notices, ...outdatedNotices(store)];
  const results = (outcomes: readonly RunOutcome[]): CompareResults =>
    compareResults({ ...task.context, notices }, summarize(task.plan, outcomes), outcomes);
  let [outcomes, isInterrupted] = [outcomesSoFar(task.plan, store), false];
  if (!given.has("report")) {
    [outcomes, isInterrupted] = await train(task, store, output, tools.launch, {
      dropWeights: given.has("drop-weights"),
      onOutcomes: (outcomes) => writeResults(out, results(outcomes)),
    });
  }
  const final = results(outcomes);
  writeResults(out, final);
  const charts = await writeReport(out, final, await tools.loadRenderer());
  output.result(terminalTable(final));
  output.result(
    `\nTable       ${out}/table.md, results.json\nReport      ${out}/report.html` +
      (charts.length === 0 ? "" : `, ${charts.join(", ")}`),
  );
  if (isInterrupted) {
    output.progress("Stopped; the same command resumes\n");
    return INTERRUPTED;
  }
  return outcomes.some(({ failure }) => failure !== null) ? 1 : 0;
}

async function prepare(
  given: CompareArguments,
  base: string,
  out: string,
  command: string,
): Promise<Task> {
  // Finds everything wrong with the command line before the kernels are built.
  const rough = await compareRequest(given, base, null);
  const first = rough.rows[0]!.configs[0]!;
  const problems = await problemsAhead(first);
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
  const cores = availableCores();
  const threads = Math.max(1, Math.floor(cores / (given.whole("jobs") ?? cores)));
  using device = await openDevice(first.device, { threads });
  const info = device.info();
  // Processes on one GPU would only wait for each other.
  const jobs = given.whole("jobs") ?? (info.backend === "cpu" ? cores : 1);
  const request = settled(await compareRequest(given, base, lowerIsa(info)), info);
  const limit_gib = divideMemory(
    request.rows.map(({ label, configs }) => ({ label, config: configs[0]! })),
    jobs,
    info.memoryBytes,
    memoryBudget(given),
  );
  return {
    out,
    plan: comparePlan(request.rows, request.seeds),
    context: { command, ...contextOf(request, info) },
    texts: await Texts.identify(request.rows.flatMap(({ configs }) => configs)),
    jobs,
    over: ({ memory }) => ({
      threads,
      memory: { ...memory, limit_gib: limit_gib ?? memory.limit_gib },
    }),
    speed: given.has("dry-run") ? await measureSpeed(device) : NaN,
  };
}

/** The request with the type that each run computes in here: types are not to mix in a table. */
function settled(request: CompareRequest, device: DeviceInfo): CompareRequest {
  const rows = request.rows.map((row) => ({
    ...row,
    configs: row.configs.map((config) => withComputeType(config, device)),
  }));
  return { ...request, rows };
}

function memoryBudget(given: CompareArguments): number | null {
  const text = given.value("memory");
  if (text === undefined) return null;
  const gib = decimal(text);
  if (gib !== undefined && gib > 0) return gib * 2 ** 30;
  throw new ConfigError(`--memory is ${text}, expected a number of GiB above 0`);
}

function contextOf(
  { match, seeds, notices, rows }: CompareRequest,
  { name, isa, gemm }: DeviceInfo,
): Omit<CompareContext, "command"> {
  return {
    match,
    seeds,
    notices,
    machine: { device: name, "instruction set": isa, products: gemm },
    configs: Object.fromEntries(rows.map(({ label, configs }) => [label, configs[0]!])),
  };
}

/** Names the runs that the table leaves out because their text has changed since. */
function outdatedNotices({ outdated }: RunStore): string[] {
  if (outdated.length === 0) return [];
  const names = outdated.map(({ name }) => visibleName(name));
  return [
    `The text has changed since ${names.length === 1 ? "a run" : `${names.length} runs`} trained ` +
    `on it, left out here: ${names.join(", ")}`,
  ];
}

/** The command to give again, without --report. */
function commandLine(args: readonly string[]): string {
  const words = args.filter((arg) => arg !== "--report")
    .map((arg) => /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`);
  return ["deno task compare", ...words].join(" ");
}

/**
 * The next lower instruction set with other fp32 sums: the same algorithm with different rounding.
 * `avx512_bf16` differs from `avx512` only in bf16 products.
 */
function lowerIsa({ isa }: DeviceInfo): string | null {
  const order = ["baseline", "avx2", "avx512"];
  return order[order.indexOf(isa.replace(/_bf16$/, "")) - 1] ?? null;
}

/** What happens during training. */
interface TrainHooks {
  readonly dropWeights: boolean;
  readonly onOutcomes: (outcomes: readonly RunOutcome[]) => void;
}

async function train(
  { plan, jobs, over }: Task,
  store: RunStore,
  output: Output,
  launch: Launch,
  { dropWeights, onOutcomes }: TrainHooks,
): Promise<[RunOutcome[], boolean]> {
  using progress = new CompareProgress(plan, {
    columns: output.columns,
    write: output.draw,
    now: () => performance.now(),
  });
  using interrupt = new Interrupt({
    onRequest: () => progress.note("Stopping after the current steps; Ctrl-C again ends at once"),
    exit: Deno.exit,
    now: () => performance.now(),
  });
  const failed = new AbortController();
  const started = new Set<PlannedRun>();
  const outcomes = await workOff(plan, store, {
    jobs,
    over,
    dropWeights,
    launch,
    signal: AbortSignal.any([interrupt.signal, failed.signal]),
    onStart: (run, stored) => {
      started.add(run);
      progress.start(run, stored);
    },
    onEnd: (run, outcomes) => {
      const own = outcomes.find(({ row, seed }) => row === run.row && seed === run.seed)!;
      progress.end(run, started.has(run) ? endText(own) : null);
      onOutcomes(outcomes);
    },
    onNotice: (text) => progress.note(text),
  }).catch((error) => {
    // The other processes save and end; the next command finds their work.
    failed.abort();
    throw error;
  });
  return [outcomes, interrupt.signal.aborted];
}

function endText({ row, seed, result, failure }: RunOutcome): string | null {
  if (failure !== null) return `${row}, seed ${seed} failed: ${failure.split("\n")[0]}`;
  if (result === null) return null;
  return `${row}, seed ${seed}: validation ${result.valid_loss.toFixed(4)} nats per token after ` +
    `${result.steps} steps, ${formatSeconds(result.seconds)}`;
}
