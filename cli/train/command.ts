/**
 * The `train` command: from a command line to a trained model.
 *
 * @module
 */

import metadata from "../../deno.json" with { type: "json" };
import type { Device } from "../../lib/autograd/device.ts";
import { loadRouterOf } from "../../lib/config/load_router.ts";
import { withComputeType, withTypeOf } from "../../lib/config/compute_type.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { resumeNotices } from "../../lib/config/notices.ts";
import { writeAtomically } from "../../lib/files.ts";
import { initialRun } from "../../lib/init_from/compatible.ts";
import { routerOf } from "../../lib/moe/router_of.ts";
import { checkMemory, memoryLimit } from "../../lib/train/memory_limit.ts";
import type { StepProfile } from "../../lib/train/profile.ts";
import { RunDirectory } from "../../lib/run/run_directory.ts";
import type { TrainOptions, TrainSummary } from "../../lib/train/train_options.ts";
import { absolutePath, callingDirectory } from "../shared/arguments.ts";
import { describeError } from "../shared/errors.ts";
import { dryRunReport } from "./dry_run.ts";
import { deviceAtHand } from "./dry_run_device.ts";
import { problemsAhead } from "./dry_run_problems.ts";
import { oneLine } from "../shared/format.ts";
import { trainHelp } from "./help.ts";
import { Interrupt, INTERRUPTED } from "../shared/interrupt.ts";
import { openDevice } from "../shared/open_device.ts";
import type { Output } from "../shared/output.ts";
import { type Needs, requirePermissions } from "../shared/permissions.ts";
import { readablePath } from "../shared/text_paths.ts";
import { createProgress } from "./progress.ts";
import { profileReport } from "./profile_report.ts";
import { parseTrainFlags } from "./flags.ts";
import { initialPath, routerChoice, type TrainRequest, trainRequest } from "./request.ts";
import { finalReport, startReport, validationLine } from "./report.ts";

/** The library's `train()`. */
export type Train = (config: TrainConfig, options: TrainOptions) => Promise<TrainSummary>;

/**
 * Runs the command.
 *
 * @param args The command line.
 * @param output Where to write.
 * @param loadTrain Loads the library's `train()`; called only if there is something to train, since
 * it loads the entire library.
 * @returns The exit code.
 */
export async function trainCommand(
  args: readonly string[],
  output: Output,
  loadTrain: () => Promise<Train>,
): Promise<number> {
  try {
    const given = parseTrainFlags(args);
    if (given.has("help")) return print(output, trainHelp());
    if (given.has("version")) return print(output, `remoe ${metadata.version}`);
    const base = callingDirectory();
    const files = [...given.values("config"), ...given.values("resume")];
    await requirePermissions(
      "train",
      { read: files.map((file) => absolutePath(file, base)) },
      base,
    );
    const initial = initialPath(given, base);
    if (initial !== null) await requirePermissions("train", { read: [initial] }, base);
    const choice = routerChoice(given, base);
    if (choice !== undefined) await requirePermissions("train", { read: [choice.router] }, base);
    const router = choice === undefined ? undefined : await loadRouterOf(choice);
    const request = trainRequest(given, base, router);
    // At once and from the configurations alone: reading the weights comes when there is a device.
    if (request.run === null) initialRun(request.config);
    if (given.has("dry-run")) {
      const problems = await problemsAhead(request.config);
      using device = await deviceAtHand(request.config);
      return print(output, dryRunReport(request.config, { problems, device }));
    }
    await requirePermissions("train", needsOf(request, base), base);
    return await runTraining(request, base, output, await loadTrain(), given.has("profile"));
  } catch (error) {
    output.progress(`error: ${describeError(error)}\n`);
    return 1;
  }
}

/** What a run accesses. The default cache is not among it: without permission, it is not used. */
function needsOf({ config, run }: TrainRequest, base: string): Needs {
  const { data, device, init } = config;
  const directory = run?.path ?? config.out ?? absolutePath("runs", base);
  const kept = [directory, ...(data.cache === null ? [] : [data.cache])];
  const texts = [...data.paths, ...data.validation_paths].map(readablePath);
  const initial = run !== null || init.from === null ? [] : [init.from];
  return { read: [...texts, ...initial, ...kept], write: kept, device };
}

function print(output: Output, text: string): number {
  output.result(text);
  return 0;
}

async function runTraining(
  { config: given, run }: TrainRequest,
  base: string,
  output: Output,
  train: Train,
  profiled: boolean,
): Promise<number> {
  // The device first: if it cannot be opened or is too small, no empty run directory is left.
  using device = await openDevice(given.device, given);
  const inherited = run === null ? given : withTypeOf(run.config, given);
  const config = withComputeType(inherited, device.info());
  checkMemory(config, memoryLimit(config, device.info().memoryBytes), { device });
  const opened = run === null
    ? { directory: RunDirectory.create(config, { parent: base }), checkpoint: null }
    : RunDirectory.resume(run, config);
  using directory = opened.directory;
  using checkpoint = opened.checkpoint;
  output.progress(`${startReport(inherited, device.info(), directory.path, checkpoint)}\n`);
  if (run !== null) {
    for (const notice of resumeNotices(run.config, config)) output.progress(`${notice}\n`);
  }

  using profile = profiled ? await startProfile(device) : null;
  const progress = createProgress({
    steps: config.steps,
    from: checkpoint?.state.step ?? 0,
    router: routerOf(config.moe),
    columns: output.columns,
    write: output.draw,
    now: () => performance.now(),
  });
  using interrupt = new Interrupt({
    onRequest: () => progress.note("Stopping after this step; press Ctrl-C again to end at once"),
    exit: Deno.exit,
    now: () => performance.now(),
  });
  let summary: TrainSummary;
  try {
    summary = await train(config, {
      device,
      directory,
      checkpoint,
      signal: interrupt.signal,
      profile,
      onStep: (metrics) => progress.step(metrics),
      onValidation: (metrics) => progress.note(validationLine(metrics)),
      onSample: ({ step, text }) => progress.note(`step ${step}  sample: ${oneLine(text, 80)}`),
      onNotice: (text) => progress.note(text),
    });
  } finally {
    await progress.stop();
  }
  output.result(finalReport(config, summary, directory.path, base));
  if (profile !== null) {
    writeAtomically(`${directory.path}/profile.json`, JSON.stringify(profile.trace()));
    output.result(`\n${profileReport(profile.summary())}`);
  }
  return summary.interrupted ? INTERRUPTED : 0;
}

/** Loads the profiler on demand, since it loads the library. */
async function startProfile(device: Device): Promise<StepProfile> {
  const { StepProfile } = await import("../../lib/train/profile.ts");
  return new StepProfile(device);
}
