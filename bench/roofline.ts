/**
 * What the CUDA kernels ask of a GPU, counted without one: `deno task roofline --help`.
 *
 * @module
 */

import type { Arguments } from "../cli/shared/arguments.ts";
import { ConfigError } from "../lib/errors.ts";
import { gemmCase } from "../kernels/cases/gemm.ts";
import { runCommand } from "./harness/command.ts";
import { commit } from "./harness/machine.ts";
import { CountingDevice } from "./roofline/counting_device.ts";
import { expertOperations } from "./roofline/expert_operations.ts";
import { asMarkdown, type Origin } from "./roofline/markdown.ts";
import { readTimes } from "./roofline/measured.ts";
import { modelOperations } from "./roofline/model_operations.ts";
import { type Operation, operation } from "./roofline/operation.ts";
import { routingOperations } from "./roofline/routing_operations.ts";
import { summarize, type Summary } from "./roofline/summary.ts";
import { productOperations, tensorOperations } from "./roofline/tensor_operations.ts";

const ROOT = new URL("..", import.meta.url).pathname;

const FLAGS = {
  only: { value: "TEXT", about: "Count the calls with TEXT in `group: name`; print the tables" },
  json: { value: "FILE", about: "Also write the counts of every kernel to FILE" },
  from: {
    value: "FILE",
    repeat: true,
    about: "Take the counts from a file of --json; may be repeated",
  },
  help: { about: "Show this help" },
} as const;

function operations(): Operation[] {
  return [
    ...routingOperations(),
    ...expertOperations(),
    ...modelOperations(),
    ...productOperations(),
    ...tensorOperations(),
  ];
}

/** The first product on a device also verifies that its tensor cores are right. */
function firstProduct(): Operation {
  const kernelCase = gemmCase({ m: 128, n: 128, k: 64, storage: "bf16" });
  return operation({ group: "", name: "", kernelCase });
}

/** Counts on a device each of the capabilities that the calls ask for. */
async function countAll(wanted: readonly Operation[]): Promise<Summary[]> {
  const summaries = new Map<Operation, Summary>();
  for (const capability of [90, 80] as const) {
    const own = wanted.filter((operation) => (operation.capability ?? 90) === capability);
    if (own.length === 0) continue;
    const device = await CountingDevice.open({ capability });
    if ("reason" in device) throw new Error(`Cannot build the emulator: ${device.reason}`);
    using opened = device;
    using first = firstProduct().prepare(opened.kernels);
    first.call();
    for (const operation of own) {
      const start = performance.now();
      using prepared = operation.prepare(opened.kernels);
      const counts = await opened.count(() => prepared.call());
      summaries.set(operation, summarize(operation, counts));
      const seconds = (performance.now() - start) / 1e3;
      console.error(`${operation.name} (${seconds.toFixed(1)} s)`);
    }
  }
  return wanted.map((operation) => summaries.get(operation)!);
}

/** Counts, and of what. */
interface Results extends Origin {
  readonly calls: readonly Summary[];
}

async function readResults(files: readonly string[]): Promise<Results> {
  const read = files.map(async (file) => JSON.parse(await Deno.readTextFile(file)) as Results);
  const all = await Promise.all(read);
  return { ...all[0]!, calls: all.flatMap(({ calls }) => calls) };
}

async function count(only: string): Promise<Results> {
  const wanted = operations().filter(({ group, name }) => `${group}: ${name}`.includes(only));
  if (wanted.length === 0) throw new ConfigError(`--only ${only} names no call`);
  const date = new Date().toISOString().slice(0, 10);
  return { date, commit: commit()?.slice(0, 7) ?? "unknown", calls: await countAll(wanted) };
}

async function run(given: Arguments<typeof FLAGS>): Promise<void> {
  const only = given.value("only");
  const files = given.values("from");
  const results = files.length > 0 ? await readResults(files) : await count(only ?? "");
  const json = given.value("json");
  if (json !== undefined) {
    await Deno.writeTextFile(json, `${JSON.stringify(results, null, 2)}\n`);
  }
  const times = await readTimes(`${ROOT}/docs/gpu`);
  if (only !== undefined) {
    return console.log(asMarkdown(results.calls, times, results, "<!-- counts -->"));
  }
  const notes = await Deno.readTextFile(`${ROOT}/bench/roofline/notes.md`);
  await Deno.writeTextFile(
    `${ROOT}/docs/roofline.md`,
    asMarkdown(results.calls, times, results, notes),
  );
}

await runCommand({
  call: "deno task roofline",
  about: "Counts the bytes, sectors, bank conflicts and tensor-core operations of the CUDA " +
    "kernels on the emulator, at the paper's sizes, and writes them to docs/roofline.md.",
  flags: FLAGS,
  run,
});
