/**
 * Times training, evaluation and generation in remoe and PyTorch side by side, with the same
 * weights, tokens and threads, in alternating blocks. See README.md beside this file.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { fileURLToPath } from "node:url";
import { openTokenizer } from "../../lib/data/tokenizer/open_tokenizer.ts";
import { availableCores } from "../../lib/machine.ts";
import { openDevice } from "../../cli/shared/open_device.ts";
import type { Real } from "../../lib/tensor/dtype.ts";
import { type PeakOf, peakOf, Watch } from "../harness/watch.ts";
import { type Answer, Contender, type ContenderCommand } from "./_contender.ts";
import { ensurePython, peerVersion, PROGRAMS, PYTHON, WAITING } from "./_python.ts";
import { type Mode, prepareScenario, type Scenario, type Size, SIZES } from "./_scenario.ts";
import { type Contest, type Measured, speedReport } from "./_speed_report.ts";

const HELP = `deno task bench:peers [--size ${Object.keys(SIZES).join("|")}] [--mode M]... [options]

  --mode train|forward|generate  What to time; may be repeated [by size]
  --rounds N                     Blocks per contender
  --block N                      Steps or texts per block
  --threads N                    Threads per contender [one per core]
  --only TEXT                    Only remoe and contenders with TEXT in their name; remoe: without
                                 PyTorch, which is then not installed
  --json FILE                    File for the times [bench/results/peers-<date>-<size>.json]

Prints a table and writes all times as JSON. The machine should be otherwise idle.`;

/**
 * glibc maps every block of over 32 MiB anew, whatever threshold it is given, and every page then
 * costs a fault. With these settings it takes them from a heap that it keeps, as remoe's pool does.
 */
const KEEP_MEMORY = {
  MALLOC_MMAP_MAX_: "0",
  MALLOC_TRIM_THRESHOLD_: String(2 ** 36),
  MALLOC_TOP_PAD_: String(2 ** 26),
};

/** The contenders, remoe first. */
function contenders(
  { folder }: Scenario,
  mode: Mode,
  threads: number,
): ContenderCommand[] {
  const program = fileURLToPath(new URL("./remoe_contender.ts", import.meta.url));
  const remoe = [["remoe", "f32"], ["remoe bf16", "bf16"]].map(([name, dtype]) => ({
    name: name!,
    dtype: dtype as Real,
    command: Deno.execPath(),
    args: ["run", "-A", program, folder, mode, dtype!],
    env: WAITING,
  }));
  const script = [`${PROGRAMS}/contender.py`, folder, mode, "--threads", `${threads}`];
  const pytorch = (name: string, args: readonly string[], env: Record<string, string>) => ({
    name: `PyTorch ${name}`,
    dtype: args.includes("--autocast") ? "bf16" as const : "f32" as const,
    command: PYTHON,
    args: [...script, ...args],
    env: { ...WAITING, ...env },
  });
  const eager = [
    pytorch("eager", [], {}),
    pytorch("eager, memory kept", [], KEEP_MEMORY),
    pytorch("eager, autocast bf16, memory kept", ["--autocast"], KEEP_MEMORY),
  ];
  // A growing cache changes shape with each token, so that compiling does not pay off.
  if (mode === "generate") return [...remoe, ...eager];
  return [
    ...remoe,
    ...eager,
    pytorch("compiled", ["--compile"], {}),
    pytorch("compiled, memory kept", ["--compile"], KEEP_MEMORY),
    pytorch("compiled, autocast bf16, memory kept", ["--compile", "--autocast"], KEEP_MEMORY),
  ];
}

/** How much to time, and how. */
interface Amount extends Pick<Size, "rounds" | "block"> {
  readonly peakOf: PeakOf;
  readonly say: (text: string) => void;
}

/**
 * Times a block, again if the machine's peak changed meanwhile. Returns the values of all attempts:
 * a contender goes on to its next batch each time, and losses are compared batch by batch.
 */
async function timeBlock(
  contender: Contender,
  measured: Measured,
  { block, peakOf }: Amount,
): Promise<Answer["values"]> {
  const watch = new Watch(() => peakOf(contender.dtype));
  const values: Answer["values"][number][] = [];
  let answer: Answer;
  do {
    answer = await contender.run({ times: block });
    values.push(...answer.values);
  } while (watch.repeats());
  measured.blocks.push(answer.ms);
  measured.disturbed.push(watch.disturbed);
  return values;
}

function unmeasured({ name }: { readonly name: string }): Measured {
  return { name, blocks: [], disturbed: [], values: [] };
}

/** Times contenders that are all in memory at once. */
async function timeTogether(
  commands: readonly ContenderCommand[],
  amount: Amount,
): Promise<Measured[]> {
  const { rounds, say } = amount;
  await using stack = new AsyncDisposableStack();
  const open = commands.map((command) => stack.use(new Contender(command)));
  const measured = open.map(unmeasured);
  for (const [i, contender] of open.entries()) {
    say(`  ${contender.name}: warming up`);
    measured[i]!.values.push(...(await contender.run({ times: WARMUP })).values);
  }
  for (let round = 0; round < rounds; round++) {
    say(`  round ${round + 1} of ${rounds}`);
    // Rotates the order, so that every contender takes every place equally often.
    for (let i = 0; i < open.length; i++) {
      const place = (i + round) % open.length;
      const values = await timeBlock(open[place]!, measured[place]!, amount);
      measured[place]!.values.push(...values);
    }
  }
  return measured;
}

/** Times contenders one after the other, restarting each in every round. */
async function timeApart(
  commands: readonly ContenderCommand[],
  amount: Amount,
): Promise<Measured[]> {
  const { rounds, say } = amount;
  const measured = commands.map(unmeasured);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < commands.length; i++) {
      const place = (i + round) % commands.length;
      const command = commands[place]!;
      say(`  round ${round + 1} of ${rounds}: ${command.name}`);
      await using contender = new Contender(command);
      const warm = await contender.run({ times: 1 });
      const values = await timeBlock(contender, measured[place]!, amount);
      if (round === 0) measured[place]!.values.push(...warm.values, ...values);
    }
  }
  return measured;
}

/** Untimed turns at the start, in which memory is mapped and PyTorch compiles. */
const WARMUP = 3;

async function main(): Promise<number> {
  const flags = parseArgs(Deno.args, {
    boolean: ["help"],
    string: ["size", "mode", "rounds", "block", "threads", "only", "json"],
    collect: ["mode"],
    default: { size: "nano", threads: String(availableCores()) },
  });
  const size = SIZES[flags.size];
  if (flags.help || size === undefined) {
    console.log(HELP);
    return flags.help ? 0 : 1;
  }
  const say = (text: string): void => console.error(text);
  const threads = Number(flags.threads);
  const scenario = await prepareScenario(flags.size, { threads, say });
  const amount = {
    rounds: Number(flags.rounds ?? size.rounds),
    block: Number(flags.block ?? size.block),
  };
  const modes = flags.mode.length > 0 ? flags.mode as Mode[] : size.modes;
  const contests: Contest[] = [];
  let needsPyTorch = false;
  using device = await openDevice("cpu", { threads });
  const probe = peakOf(device);
  for (const mode of modes) {
    say(`${flags.size}, ${mode}`);
    const commands = contenders(scenario, mode, threads)
      .filter(({ name }) => name.startsWith("remoe") || name.includes(flags.only ?? ""));
    if (commands.some(({ command }) => command === PYTHON)) {
      await ensurePython(say);
      needsPyTorch = true;
    }
    const time = size.resident ? timeTogether : timeApart;
    contests.push({ mode, measured: await time(commands, { ...amount, peakOf: probe, say }) });
  }
  const report = speedReport(contests, {
    size: flags.size,
    scenario,
    tokenizer: await openTokenizer(scenario.config.data.tokenizer),
    peer: needsPyTorch ? peerVersion() : "without PyTorch",
    threads,
    ...amount,
  });
  console.log(report.text);
  const path = flags.json ?? resultPath(flags.size);
  Deno.mkdirSync(path.slice(0, path.lastIndexOf("/") + 1) || ".", { recursive: true });
  Deno.writeTextFileSync(path, `${JSON.stringify(report.json, null, 2)}\n`);
  say(`Wrote ${path}`);
  return 0;
}

function resultPath(size: string): string {
  const day = new Date().toISOString().slice(0, 10);
  return fileURLToPath(new URL(`../results/peers-${day}-${size}.json`, import.meta.url));
}

if (import.meta.main) Deno.exit(await main());
