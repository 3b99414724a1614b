/**
 * The `plot` command: from the metrics of runs to charts.
 *
 * @module
 */

import { runCharts } from "../../lib/plot/charts.ts";
import { runLabels } from "../../lib/plot/labels.ts";
import { readRunFigures, type RunFigures } from "../../lib/plot/run_figures.ts";
import { onPath } from "../../lib/files.ts";
import { visibleName } from "../../lib/visible.ts";
import { callingDirectory } from "../shared/arguments.ts";
import { describeError } from "../shared/errors.ts";
import type { Output } from "../shared/output.ts";
import { parsePlotFlags, PLOT_FLAGS, type PlotRequest, plotRequest } from "./flags.ts";
import type { DrawnChart } from "../shared/page_frame.ts";
import type { Render } from "../shared/render.ts";
import { plotPage } from "./page.ts";
import { flagTable } from "../shared/table.ts";

const HELP = `Draws charts of runs: losses, sparsity, λ, the L1 term, speed, load of experts.

Usage: deno run -A cli/plot.ts RUN… [FLAGS]

${flagTable(PLOT_FLAGS)}

Examples:
  deno task plot runs/mine
  deno task plot runs/relu runs/topk runs/dense --out comparison
  deno task plot runs/relu runs/topk --x tokens --names ReLU,TopK
  deno task plot runs/mine --from 1000 --smooth 50

A RUN is a run directory; the run may still be training. Each chart is an SVG file; index.html shows
all of them with the runs' final figures and configurations, and needs no network. Errors exit with
code 1.`;

/**
 * Runs the command.
 *
 * @param args The command line.
 * @param output Where to write.
 * @param loadRenderer Loads the renderer; called only if there is something to draw.
 * @returns The exit code.
 */
export async function plotCommand(
  args: readonly string[],
  output: Output,
  loadRenderer: () => Promise<Render>,
): Promise<number> {
  try {
    const given = parsePlotFlags(args);
    if (given.has("help")) {
      output.result(HELP);
      return 0;
    }
    const request = plotRequest(given, callingDirectory());
    const runs = readRuns(request);
    const names = await draw(runs, request, await loadRenderer());
    output.result(`Drew ${names.join(", ")}\nPage        ${request.out}/index.html`);
    return 0;
  } catch (error) {
    output.progress(`error: ${describeError(error)}\n`);
    return 1;
  }
}

function readRuns({ runs, names, along, from, to }: PlotRequest): RunFigures[] {
  const labels = (names ?? runLabels(runs)).map(visibleName);
  const options = {
    along,
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  };
  return runs.map((path, index) => readRunFigures(path, labels[index]!, options));
}

async function draw(
  runs: readonly RunFigures[],
  { out, smooth, whole }: PlotRequest,
  render: Render,
): Promise<string[]> {
  const charts = runCharts(runs, { whole, ...(smooth === undefined ? {} : { smooth }) });
  const drawn: DrawnChart[] = [];
  for (const { name, title, spec } of charts) drawn.push({ name, title, svg: await render(spec) });
  onPath("make", out, () => Deno.mkdirSync(out, { recursive: true }));
  const write = (name: string, text: string): void =>
    onPath("write", `${out}/${name}`, () => Deno.writeTextFileSync(`${out}/${name}`, text));
  for (const { name, svg } of drawn) write(`${name}.svg`, `${svg}\n`);
  write("index.html", plotPage(runs, drawn));
  return drawn.map(({ name }) => `${name}.svg`);
}
