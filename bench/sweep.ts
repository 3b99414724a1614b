/**
 * What more experts, and more fine-grained ones, cost: `deno task bench:sweep --help`.
 *
 * One MoE layer, forward and backward, with E experts of which each token uses one, and with E=8
 * split into G parts of which each token uses G. Every case computes the same products, so a ratio
 * above 1 is due to routing, dispatch, smaller products and more weights to read.
 *
 * @module
 */

import type { Arguments } from "../cli/shared/arguments.ts";
import { measurePeak } from "../lib/ffi/mod.ts";
import { memoryOf } from "../lib/autograd/device.ts";
import { ConfigError, Device } from "../mod.ts";
import type { Work } from "./harness/case.ts";
import { runCommand, wholeNumbers } from "./harness/command.ts";
import { finishResults, machineLine, makeResults, openDestination } from "./harness/report.ts";
import { type CaseResult, caseResult } from "./harness/results.ts";
import { timeInTurn } from "./harness/rounds.ts";
import { RESULT_FLAGS, resultOptions } from "./harness/selection.ts";
import { digits, markdownTable, percent, time } from "./harness/table.ts";
import { peakOf } from "./harness/watch.ts";
import { BenchLayer, type LayerOptions, layerWork } from "./models/layer.ts";

const DEFAULTS = {
  tokens: 16384,
  hidden: 256,
  width: 1024,
  experts: "8,16,32,64,128",
  granularity: "1,2,4,8,16",
  rounds: 5,
} as const;

const FLAGS = {
  tokens: { value: "N", whole: { least: 1 }, about: "Tokens", fallback: `${DEFAULTS.tokens}` },
  hidden: { value: "N", whole: { least: 1 }, about: "Hidden size", fallback: `${DEFAULTS.hidden}` },
  width: {
    value: "N",
    whole: { least: 1 },
    about: "Width of a full-size expert",
    fallback: `${DEFAULTS.width}`,
  },
  experts: { value: "N,N,…", about: "Numbers of experts", fallback: DEFAULTS.experts },
  granularity: {
    value: "N,N,…",
    about: "Parts per expert, all divisors of the width",
    fallback: DEFAULTS.granularity,
  },
  rounds: {
    value: "N",
    whole: { least: 1 },
    about: "Samples of each case, taken in turn",
    fallback: `${DEFAULTS.rounds}`,
  },
  ...RESULT_FLAGS,
};

/** Experts of the granularity sweep. */
const EXPERTS = 8;

/** A point of a sweep. */
interface Point {
  /** Which sweep. */
  readonly axis: "E" | "G";
  readonly value: number;
  readonly options: LayerOptions;
  readonly work: Work;
}

/** A point and its result. */
interface Measured {
  readonly point: Point;
  readonly result: CaseResult;
}

function pointsOf(given: Arguments<typeof FLAGS>): Point[] {
  const one = (name: "tokens" | "hidden" | "width"): number => given.whole(name) ?? DEFAULTS[name];
  const list = (name: "experts" | "granularity"): number[] =>
    wholeNumbers(name, given.value(name) ?? DEFAULTS[name]);
  const [tokens, hidden, width] = [one("tokens"), one("hidden"), one("width")];
  const point = (axis: "E" | "G", at: number, experts: number, parts: number): Point => {
    if (width % parts !== 0) {
      throw new ConfigError(`--granularity ${parts} does not divide the width ${width}`);
    }
    const options: LayerOptions = {
      router: "relu",
      tokens,
      hidden,
      experts: experts * parts,
      active: parts,
      width: width / parts,
      density: 1 / experts,
    };
    return { axis, value: at, options, work: layerWork(options, "forward and backward") };
  };
  return [
    ...list("experts").map((e) => point("E", e, e, 1)),
    ...list("granularity").map((g) => point("G", g, EXPERTS, g)),
  ];
}

async function sweep(given: Arguments<typeof FLAGS>): Promise<void> {
  const points = pointsOf(given);
  const rounds = given.whole("rounds") ?? DEFAULTS.rounds;
  const destination = openDestination(resultOptions((name) => given.value(name)));
  using device = await Device.open();
  const load = Deno.loadavg()[0]!;
  using stack = new DisposableStack();
  // E=8 and G=1 are the same layer, which is timed once and heads both tables.
  const layers = new Map<string, BenchLayer>();
  for (const { options } of points) {
    const key = keyOf(options);
    if (layers.has(key)) continue;
    const layer = stack.use(new BenchLayer(device, options));
    layer.forwardAndBackward();
    layers.set(key, layer);
  }
  const peak = peakOf(device);
  const times = timeInTurn([...layers.keys()], (key) => {
    layers.get(key)!.forwardAndBackward();
    device.synchronize();
  }, { rounds, probe: () => peak("f32") });
  const measured = points.map((point): Measured => {
    const { axis, options, work } = point;
    const benchCase = { group: `sweep of ${axis}`, name: nameOf(point), ...work };
    return { point, result: caseResult(benchCase, times.get(keyOf(options))!) };
  });
  const results = makeResults({
    kind: "sweep",
    info: device.info(),
    peak: measurePeak(memoryOf(device).kernels),
    load,
    cases: measured.map(({ result }) => result),
  });
  console.log(machineLine(results.machine, results.date));
  for (const axis of ["E", "G"] as const) {
    const table = sweepTable(
      axis,
      measured.filter(({ point }) => point.axis === axis),
      results.machine.peak_gflops,
    );
    console.log(`\n${table}`);
  }
  console.log(`\n${finishResults(results, destination)}`);
}

function keyOf({ experts, width }: LayerOptions): string {
  return `${experts} of ${width}`;
}

function nameOf({ axis, value, options }: Point): string {
  const { tokens, hidden, experts, active, width } = options;
  return `MoE relu forward and backward [${tokens},${hidden}] ${axis}=${value}: ` +
    `${active} of ${experts} experts of ${width}`;
}

function sweepTable(
  axis: "E" | "G",
  rows: readonly Measured[],
  peak: number,
): string {
  const first = rows[0]!;
  const number = (title: string) => ({ title, isNumber: true });
  return markdownTable(
    [
      number(axis),
      number(`ratio to ${axis}=${first.point.value}`),
      number("median ms"),
      number("min ms"),
      number("GFLOP"),
      number("GFLOPS"),
      number("of peak"),
      { title: "experts" },
    ],
    rows.map(({ point, result: { median_s, min_s, flops, disturbed } }) => [
      String(point.value),
      (median_s / first.result.median_s).toFixed(3),
      time(median_s, disturbed),
      digits(min_s * 1e3),
      digits(flops / 1e9),
      digits(flops / median_s / 1e9),
      percent(flops / median_s / 1e9 / peak),
      `${point.options.active} of ${point.options.experts}, ${point.options.width} wide`,
    ]),
  );
}

if (import.meta.main) {
  await runCommand({
    call: "deno task bench:sweep",
    about: "Times an MoE layer, forward and backward, over numbers of experts and granularities.",
    flags: FLAGS,
    run: sweep,
  });
}
