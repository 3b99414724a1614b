/**
 * Charts of expert load: of all layers at the end of a run, and of each layer over time.
 *
 * @module
 */

import { type Chart, horizontalAxis, horizontalDomain, stageText, titled, WIDTH } from "./chart.ts";
import { idleText, loadColour, loadLevel, numbers, PLAIN, thinned } from "./heat_map.ts";
import type { RunFigures } from "./run_figures.ts";
import { IDLE, PAPER, type Spec } from "./theme.ts";

/**
 * The load of all experts, averaged over the last steps.
 *
 * @param run The run.
 * @returns The chart; null with one expert per layer.
 */
export function loadChart(run: RunFigures): Chart | null {
  const { from, to, load } = run.finalLoad;
  const experts = load[0]?.length ?? 0;
  if (experts < 2) return null;
  const side = Math.max(8, Math.min(48, Math.floor(WIDTH / experts)));
  const row = Math.max(14, Math.min(32, side));
  const values = load.flatMap((shares, layer) => cells(shares, layer));
  const position = {
    x: { field: "expert", type: "ordinal", title: "expert", axis: thinned(experts, side) },
    y: { field: "layer", type: "ordinal", title: "layer", axis: PLAIN },
  };
  return {
    name: "load",
    title: "Load of experts",
    spec: {
      ...titled(
        "Load of experts as a multiple of the fair share",
        `steps ${count(from)} to ${count(to)}; 1 is 1/${experts} of the layer's rows` +
          idleText(values),
      ),
      width: { step: side },
      height: { step: row },
      data: { values },
      encoding: position,
      layer: [
        {
          mark: { type: "rect", stroke: PAPER.light, strokeWidth: 1 },
          encoding: { color: loadColour() },
        },
        ...(side >= 30 ? [numbers()] : []),
      ],
      config: { scale: { bandPaddingInner: 0, bandPaddingOuter: 0 } },
    },
  };
}

/**
 * The load of each layer's experts over time.
 *
 * @param run The run.
 * @returns The chart; null with one expert per layer.
 */
export function loadHistoryChart(run: RunFigures): Chart | null {
  const layers = run.finalLoad.load.length;
  const experts = run.finalLoad.load[0]?.length ?? 0;
  if (experts < 2) return null;
  const columns = layers <= 2 ? 1 : layers <= 12 ? 2 : 3;
  const width = Math.floor((WIDTH - 40 * (columns - 1)) / columns);
  const row = Math.max(2, Math.min(columns === 1 ? 18 : 12, Math.floor(160 / experts)));
  const panels = run.finalLoad.load.map((_, layer) =>
    historyPlane(run, layer, { width, row, experts, isLow: layer >= layers - columns })
  );
  const all = run.load.flatMap(({ load }) => load.flatMap(cells));
  return {
    name: "load_history",
    title: "Load of experts over time",
    spec: {
      ...titled(
        "Load of each layer's experts as a multiple of the fair share",
        stageText([run]),
        `1 is 1/${experts} of the layer's rows${idleText(all)}`,
      ),
      columns,
      spacing: { row: 12, column: 16 },
      concat: panels,
      resolve: { scale: { color: "shared" } },
      config: { scale: { bandPaddingInner: 0, bandPaddingOuter: 0 } },
    },
  };
}

interface PlaneSize {
  readonly width: number;
  readonly row: number;
  readonly experts: number;
  /** Whether this is the lowest panel of its column, which carries the horizontal axis. */
  readonly isLow: boolean;
}

function historyPlane(run: RunFigures, layer: number, size: PlaneSize): Spec {
  const [first, last] = horizontalDomain([run]);
  // The last stretch ends one step after its last; a single step gives no spacing, so takes 1.
  const beyond = last + ((last - first) / Math.max(1, run.figures.loss.length - 1) || 1);
  const values = run.load.flatMap(({ from, to, load }, index) => {
    const next = run.load[index + 1]?.from ?? Math.max(to, beyond);
    // Reaches under the next one: between abutting edges the background would show through.
    const end = Math.min(next + (next - from) / 2, beyond);
    return cells(load[layer] ?? [], layer).map((cell) => ({ ...cell, from, end }));
  });
  const x = horizontalAxis([run], "from", [first, beyond]);
  return {
    title: { text: `layer ${layer}`, fontSize: 12, fontWeight: "normal", offset: 4 },
    width: size.width,
    height: { step: size.row },
    layer: [
      {
        data: { values },
        mark: { type: "rect", clip: true, height: { band: 1.08 } },
        encoding: {
          x: size.isLow
            ? { ...x, axis: { ...(x["axis"] as Spec), tickCount: Math.round(size.width / 80) } }
            : { ...x, axis: { labels: false, ticks: false, title: null, grid: false } },
          x2: { field: "end" },
          y: {
            field: "expert",
            type: "ordinal",
            title: "expert",
            axis: thinned(size.experts, size.row),
          },
          color: loadColour(),
        },
      },
      ...stageRules(run),
    ],
  };
}

function stageRules({ stages }: RunFigures): Spec[] {
  const values = stages.slice(1).map(({ from }) => ({ from }));
  if (values.length === 0) return [];
  return [{
    data: { values },
    mark: { type: "rule", strokeDash: [3, 2], color: IDLE, strokeWidth: 1.25 },
    encoding: { x: { field: "from", type: "quantitative" } },
  }];
}

/** A cell of a load chart. */
interface Cell {
  readonly layer: number;
  readonly expert: number;
  /** The load as a multiple of the fair share. */
  readonly ratio: number;
  /** The ratio's place on the scale of colours. */
  readonly level: number;
}

function cells(shares: readonly number[], layer: number): Cell[] {
  return shares.map((share, expert) => {
    const ratio = share * shares.length;
    return { layer, expert, ratio, level: loadLevel(ratio) };
  });
}

function count(step: number): string {
  return step.toLocaleString("en");
}
