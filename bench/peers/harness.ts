/**
 * Holds `evaluate` to lm-evaluation-harness, which scores the same items of the same run through an
 * OpenAI-compatible endpoint, or with transformers. See README.md beside this file.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { resolve } from "node:path";
import { findRun } from "../../lib/run/find_run.ts";
import { taskNames } from "../../lib/evaluate/tasks/tasks.ts";
import { ensureHarness, runHarness, WORK } from "./_python.ts";
import { writeTasks, writeTokenizer } from "./_harness_files.ts";
import {
  compareErrors,
  compareItems,
  comparisonTable,
  loggedItems,
  type TaskComparison,
  taskFigures,
} from "./_harness_report.ts";

const HELP = `deno task bench:harness --run RUN --eval-data DIR (--url URL | --hf DIR) [FLAGS]

Scores tasks by remoe's evaluate and by lm-evaluation-harness, and compares every log-likelihood.
Exits with code 1 if one differs by more than 1e-3, or an answer does whose margin is larger.

  --url URL        The endpoint, such as http://127.0.0.1:8000/v1/completions, which serves RUN
  --hf DIR         RUN as transformers reads it, in place of an endpoint
  --tasks NAMES    Tasks, with commas between [all]
  --limit N        Items per task [200]
  --max-length N   Most tokens that the model reads at a time [data.sequence of RUN]`;

/** Greatest difference of a log-likelihood. */
const LIMIT = 1e-3;

/** Greatest relative difference of two bootstrapped errors: their own are larger, the more the values are skewed. */
const BOOTSTRAPPED = 0.1;

const ROOT = new URL("../../", import.meta.url).pathname;

async function main(): Promise<number> {
  const flags = parseArgs(Deno.args, {
    boolean: ["help"],
    string: ["run", "eval-data", "url", "hf", "tasks", "limit", "max-length"],
    default: { tasks: "all", limit: "200" },
    unknown: (name) => {
      throw new Error(`Unknown flag ${name}; see --help`);
    },
  });
  if (flags.help) {
    console.log(HELP);
    return 0;
  }
  const { run, url, hf, limit } = flags;
  const items = flags["eval-data"];
  if (!run || !items || (url === undefined) === (hf === undefined)) {
    throw new Error("Give --run, --eval-data, and one of --url and --hf; see --help");
  }
  const names = taskNames(flags.tasks.split(","));
  const maxLength = Number(flags["max-length"] ?? findRun(resolve(run)).config.data.sequence);
  const say = (text: string): void => console.error(text);
  await ensureHarness(say);
  const folder = Deno.makeTempDirSync({ dir: madeFolder(WORK), prefix: "harness-" });
  const own = await runHarness(["-c", "import lm_eval; print(lm_eval.__path__[0])"], folder);
  const made = (name: string): string => madeFolder(`${folder}/${name}`);
  const tasks = made("tasks");
  await writeTasks(names, { own: `${own.trim()}/tasks`, items, out: tasks });
  const model = hf !== undefined ? hfArguments(resolve(hf), maxLength) : [
    ...["--model", "local-completions", "--model_args"],
    await endpointArguments(url!, made("tokenizer"), maxLength),
  ];
  say("Scoring with remoe");
  const ours = `${folder}/remoe.json`;
  await runRemoe([
    ...[resolve(run), `--tasks=${names.join(",")}`, `--eval-data=${resolve(items)}`],
    ...[`--limit=${limit}`, `--max-length=${maxLength}`, `--output=${ours}`, "--log-samples"],
  ]);
  say("Scoring with lm-evaluation-harness");
  const theirs = made("theirs");
  await runHarness([
    ...["-m", "lm_eval", "run", ...model, "--tasks", ...names, "--include_path", tasks],
    ...["--limit", limit, "--batch_size", "8", "--log_samples", "--output_path", theirs],
  ], folder);
  const figures = {
    ours: taskFigures(ours),
    theirs: taskFigures(fileBelow(theirs, "results_")),
  };
  const compared = new Map(names.map((name): [string, TaskComparison] => [
    name,
    {
      ...compareItems(
        loggedItems(ours.replace(/\.json$/, `_samples_${name}.jsonl`)),
        loggedItems(fileBelow(theirs, `samples_${name}_`)),
        LIMIT,
      ),
      ...compareErrors(figures.ours[name]!, figures.theirs[name]!),
    },
  ]));
  console.log(comparisonTable(compared).join("\n"));
  Deno.removeSync(folder, { recursive: true });
  const bad = [...compared].filter(([, each]) =>
    !(each.difference <= LIMIT && each.errors <= 1e-6 && each.bootstrapped <= BOOTSTRAPPED) ||
    each.wrong > 0 || each.texts > 0
  );
  for (const [name, { texts, wrong, errors }] of bad) {
    const counts = `${texts} texts, ${wrong} answers beyond the margin`;
    console.log(`${name} differs: ${counts}, standard errors by ${errors}`);
  }
  return bad.length > 0 ? 1 : 0;
}

/** A model as a server lists it. */
interface ServedModel {
  readonly id: string;
  readonly max_model_len?: number;
}

/** The harness keeps one token of its length for generation, and counts the token only scored. */
async function endpointArguments(url: string, folder: string, length: number): Promise<string> {
  const response = await fetch(url.replace(/\/completions$/, "/models"));
  const [model] = (await response.json() as { data: ServedModel[] }).data;
  const { id, max_model_len: room = Infinity } = model!;
  if (room < length + 2) {
    throw new Error(
      `The server takes texts of up to ${room} tokens: start it with --context ${length + 2}`,
    );
  }
  await writeTokenizer(folder);
  return [
    ...[`base_url=${url}`, `model=${id}`, `tokenizer=${folder}`, "tokenizer_backend=huggingface"],
    ...[`max_length=${length + 2}`, "num_concurrent=2", "tokenized_requests=True"],
  ].join(",");
}

function hfArguments(folder: string, length: number): string[] {
  const values = [`pretrained=${folder}`, `max_length=${length}`, "dtype=float32"];
  return [
    ...["--model", "hf", "--device", "cpu", "--trust_remote_code"],
    ...["--model_args", values.join(",")],
  ];
}

async function runRemoe(args: readonly string[]): Promise<void> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${ROOT}cli/evaluate.ts`, ...args],
    stdout: "null",
    stderr: "inherit",
  });
  if (!(await command.output()).success) throw new Error("evaluate failed");
}

function fileBelow(folder: string, prefix: string): string {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) return fileBelow(`${folder}/${name}`, prefix);
    if (name.startsWith(prefix)) return `${folder}/${name}`;
  }
  throw new Error(`the harness wrote no ${prefix}… in ${folder}`);
}

function madeFolder(path: string): string {
  Deno.mkdirSync(path, { recursive: true });
  return path;
}

if (import.meta.main) Deno.exit(await main());
