/**
 * Heat maps of a trained model's routing: the load of its experts, and the experts of each domain.
 *
 * @module
 */

import type { DomainLoadReport, LoadReport } from "../analyze/reports.ts";
import { visibleName } from "../visible.ts";
import { type Chart, titled, WIDTH } from "./chart.ts";
import { idleText, loadColour, loadLevel, numbers, PLAIN, thinned } from "./heat_map.ts";
import { PAPER, type Spec } from "./theme.ts";

/** Width of a cell from which on it has room for a number. */
const NUMBERED = 30;

/** A cell: an expert, and the layer or the domain whose tokens it takes. */
interface Cell {
  readonly row: number | string;
  readonly expert: number;
  /** Percent of the tokens. */
  readonly percent: number;
  /** The share of the tokens as a multiple of the fair share. */
  readonly ratio: number;
  /** The ratio's place on the scale of colours. */
  readonly level: number;
}

/**
 * The share of the tokens that each expert takes, layer by layer.
 *
 * @param report The shares.
 * @returns The chart.
 */
export function routedLoadChart(report: LoadReport): Chart {
  const { tokens, fair_share, share_of_tokens } = report;
  const values = share_of_tokens.flatMap((shares, layer) => cells(shares, layer, fair_share));
  const experts = share_of_tokens[0]!.length;
  return {
    name: "load",
    title: "Load of experts",
    spec: {
      ...titled(
        "Share of the tokens that each expert takes",
        `percent of ${tokens.toLocaleString("en")} tokens; the fair share is ` +
          `${percentText(fair_share)}${idleText(values)}`,
      ),
      ...grid(values, "layer", cellSize(experts, WIDTH)),
      config: { scale: { bandPaddingInner: 0, bandPaddingOuter: 0 } },
    },
  };
}

/**
 * The share of each domain's tokens that each expert takes, a panel per layer.
 *
 * @param report The shares.
 * @returns The chart.
 */
export function domainLoadChart(report: DomainLoadReport): Chart {
  const { fair_share, domains, specialisation_per_layer } = report;
  const named = Object.entries(domains);
  const experts = named[0]![1].share_of_tokens[0]!.length;
  const layers = specialisation_per_layer.length;
  const columns = experts > 16 || layers === 1 ? 1 : 2;
  // The domains' names need room, too.
  const size = cellSize(experts, (WIDTH - 60) / columns);
  const panels = specialisation_per_layer.map((specialisation, layer) => {
    const values = named.flatMap(([name, { share_of_tokens }]) =>
      cells(share_of_tokens[layer]!, visibleName(name), fair_share)
    );
    return {
      title: {
        text: `layer ${layer}, specialisation ${specialisation.toFixed(2)}`,
        ...{ fontSize: 12, fontWeight: "normal", offset: 4 },
      },
      ...grid(values, layer % columns === 0 ? "domain" : null, size),
    };
  });
  return {
    name: "domains",
    title: "Experts by domain",
    spec: {
      ...titled(
        "Share of each domain's tokens that each expert takes",
        `percent; the fair share is ${percentText(fair_share)}`,
        "specialisation: the part of a domain's rows that would have to move to match the mean",
      ),
      columns,
      spacing: { row: 16, column: 20 },
      concat: panels,
      resolve: { scale: { color: "shared" } },
      config: { scale: { bandPaddingInner: 0, bandPaddingOuter: 0 } },
    },
  };
}

/** A grid of cells; without a title, rows have no labels either. */
function grid(values: readonly Cell[], rows: string | null, side: number): Spec {
  const experts = new Set(values.map(({ expert }) => expert)).size;
  return {
    width: { step: side },
    height: { step: Math.max(14, Math.min(28, side)) },
    data: { values },
    encoding: {
      x: { field: "expert", type: "ordinal", title: "expert", axis: thinned(experts, side) },
      y: {
        field: "row",
        type: "ordinal",
        title: rows === "domain" ? null : rows,
        sort: null,
        axis: rows === null ? { ...PLAIN, labels: false } : PLAIN,
      },
    },
    layer: [
      {
        mark: { type: "rect", stroke: PAPER.light, strokeWidth: side < 8 ? 0 : 1 },
        encoding: { color: loadColour() },
      },
      ...(side >= NUMBERED ? [numbers("percent", ".1f")] : []),
    ],
  };
}

function cells(shares: readonly number[], row: number | string, fair: number): Cell[] {
  return shares.map((share, expert) => {
    const ratio = share / fair;
    return { row, expert, percent: 100 * share, ratio, level: loadLevel(ratio) };
  });
}

/** Width of a cell. */
function cellSize(experts: number, width: number): number {
  return Math.max(4, Math.min(48, Math.floor(width / experts)));
}

function percentText(share: number): string {
  return `${Number((100 * share).toFixed(2))} %`;
}
