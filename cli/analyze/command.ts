/**
 * The `analyze` command: from a trained model to charts of its routing.
 *
 * @module
 */

import { ConfigError } from "../../lib/errors.ts";
import { onPath } from "../../lib/files.ts";
import { openModel } from "../../lib/model/open_model.ts";
import { routerLabel, routerOf } from "../../lib/moe/router_of.ts";
import { routingCharts } from "../../lib/plot/routing_charts.ts";
import { findRun, type FoundRun } from "../../lib/run/find_run.ts";
import { absolutePath, callingDirectory } from "../shared/arguments.ts";
import { describeError } from "../shared/errors.ts";
import { openDevice } from "../shared/open_device.ts";
import type { Output } from "../shared/output.ts";
import type { DrawnChart } from "../shared/page_frame.ts";
import { type Needs, requirePermissions } from "../shared/permissions.ts";
import type { Render } from "../shared/render.ts";
import { flagTable } from "../shared/table.ts";
import { readTextFile, textNeeds } from "../shared/text_paths.ts";
import { type Analysis, analyze, type AnalyzedModel } from "./analysis.ts";
import { ANALYZE_FLAGS, type AnalyzeRequest, analyzeRequest, parseAnalyzeFlags } from "./flags.ts";
import { analysisPage } from "./page.ts";
import { summaryLines } from "./summary.ts";

const HELP = `Shows which experts a trained model uses for which tokens.

Usage: deno run -A cli/analyze.ts RUN [FLAGS]

${flagTable(ANALYZE_FLAGS)}

Examples:
  deno task analyze runs/mine
  deno task analyze runs/mine --data 'corpus/*/valid.jsonl.gz' --tokens 500000
  deno task analyze runs/mine --text poem.txt --out poem

RUN is a run directory (its newest checkpoint is used) or the folder of a checkpoint. Each chart is
an SVG file with its figures as JSON beside it; index.html shows all of them and the experts of each
token of a text, layer by layer, and needs no network. Errors exit with code 1.`;

/**
 * Runs the command.
 *
 * @param args The command line.
 * @param output Where to write.
 * @param loadRenderer Loads the renderer; called only if there is something to draw.
 * @returns The exit code.
 */
export async function analyzeCommand(
  args: readonly string[],
  output: Output,
  loadRenderer: () => Promise<Render>,
): Promise<number> {
  try {
    const given = parseAnalyzeFlags(args);
    if (given.has("help")) {
      output.result(HELP);
      return 0;
    }
    const base = callingDirectory();
    const request = analyzeRequest(given, base);
    await requirePermissions("analyze", { read: [request.run] }, base);
    const run = findRun(request.run);
    requireRouted(run);
    const out = request.out ?? `${run.path}/analysis`;
    await requirePermissions("analyze", needsOf(request, run, out, base), base);
    const shown = await textToShow(request, base);
    await runAnalysis({ request, run, out, shown }, output, loadRenderer);
    return 0;
  } catch (error) {
    output.progress(`error: ${describeError(error)}\n`);
    return 1;
  }
}

/** Permissions beyond the run's own. */
function needsOf(request: AnalyzeRequest, run: FoundRun, out: string, base: string): Needs {
  const given = request.data.length === 0 ? null : request.data;
  const { texts, cache } = textNeeds(run.config.data, given);
  const file = request.text === undefined ? [] : [absolutePath(request.text, base)];
  return {
    read: [...texts, ...file, ...cache],
    write: [out, ...cache],
    device: request.device,
  };
}

/** A model that does not route has nothing to show. */
function requireRouted({ path, config: { moe } }: FoundRun): void {
  if (routerOf(moe).routed) return;
  throw new ConfigError(
    `Cannot analyze ${path}: there is nothing to look at, since its router, ` +
      `${routerLabel(moe.router)}, sends every token to the one expert of a layer`,
  );
}

async function textToShow({ text }: AnalyzeRequest, base: string): Promise<string | null> {
  if (text === undefined) return null;
  const shown = await readTextFile(text, base, "text");
  if (shown === "") throw new ConfigError(`Cannot show ${text}: it is empty`);
  return shown;
}

/** The checked command line and what it refers to. */
interface Work {
  readonly request: AnalyzeRequest;
  readonly run: FoundRun;
  readonly out: string;
  readonly shown: string | null;
}

async function runAnalysis(
  { request, run, out, shown }: Work,
  output: Output,
  loadRenderer: () => Promise<Render>,
): Promise<void> {
  using device = await openDevice(request.device);
  using opened = await openModel(device, request.run);
  const notice = (text: string): void => output.progress(`${text}\n`);
  const analysis = await analyze(opened, { device, request, shown, notice });
  const model = { path: run.path, config: opened.config, step: opened.step };
  const names = await write(analysis, model, out, await loadRenderer());
  output.result(
    `${summaryLines(analysis, model).join("\n")}\nDrew        ${names.join(", ")}\n` +
      `Page        ${out}/index.html`,
  );
}

/** Writes charts, figures and page; returns the names of the charts. */
async function write(
  analysis: Analysis,
  model: AnalyzedModel,
  out: string,
  render: Render,
): Promise<string[]> {
  const charts = routingCharts(analysis);
  const drawn: DrawnChart[] = [];
  for (const { name, title, spec } of charts) drawn.push({ name, title, svg: await render(spec) });
  onPath("make", out, () => Deno.mkdirSync(out, { recursive: true }));
  const save = (name: string, text: string): void =>
    onPath("write", `${out}/${name}`, () => Deno.writeTextFileSync(`${out}/${name}`, text));
  const saveJson = (name: string, value: unknown): void =>
    save(`${name}.json`, `${JSON.stringify(value)}\n`);
  for (const [index, { name, report }] of charts.entries()) {
    save(`${name}.svg`, `${drawn[index]!.svg}\n`);
    saveJson(name, report);
  }
  saveJson("expert_tokens", analysis.expert_tokens);
  saveJson("text", analysis.passages);
  save("index.html", analysisPage(analysis, model, drawn));
  return drawn.map(({ name }) => `${name}.svg`);
}
