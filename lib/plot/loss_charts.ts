/**
 * Losses: of training, of validation, and of each domain.
 *
 * @module
 */

import {
  type Chart,
  curveColours,
  curveLayer,
  type DrawOptions,
  HEIGHT,
  plane,
  scatteredCurves,
  stageLayers,
  stageText,
  stepAxis,
  stepDomain,
  titled,
  valueAxis,
  WIDTH,
} from "./chart.ts";
import type { Point, RunFigures } from "./run_figures.ts";
import type { Spec } from "./theme.ts";

const NATS = { title: "loss (nats a token)" };
/** The share of the steps in which a loss falls from where it began. */
const BEGINNING = 0.02;

/**
 * Training and validation loss of all runs.
 *
 * @param runs The runs.
 * @param options How strongly to smooth.
 * @returns The chart.
 */
export function lossChart(runs: readonly RunFigures[], options: DrawOptions): Chart {
  const domain = stepDomain(runs);
  const scale = withoutBeginning(runs, domain);
  const position = { x: stepAxis(domain), y: valueAxis({ ...NATS, scale: scale ?? {} }) };
  const several = runs.length > 1;
  const name = (label: string, kind: string): string => several ? label : kind;
  const names = several ? runs.map(({ label }) => label) : ["training", "validation"];
  const axes = { ...position, color: curveColours(names) };
  const training = runs.map(({ label, figures }) => ({
    name: name(label, "training"),
    points: figures.loss,
  }));
  const validation = runs.map(({ label, validations }) => ({
    name: name(label, "validation"),
    points: validations.map(({ step, valid_loss }): Point => ({ step, value: valid_loss })),
  }));
  const notes = [
    ...(several ? ["with dots: validation"] : []),
    ...(scale === null ? [] : ["the first steps lie above"]),
  ].join("; ") || undefined;
  return {
    name: "loss",
    title: "Loss",
    spec: {
      ...titled("Training and validation loss", stageText(runs), notes),
      ...plane([
        ...stageLayers(runs, domain),
        ...scatteredCurves(training, axes, options, { clip: true }),
        ...curveLayer(validation, axes, {
          clip: true,
          strokeWidth: 1.5,
          strokeDash: several ? [5, 3] : [1, 0],
          point: { filled: true, size: 36 },
        }),
      ]),
    },
  };
}

/**
 * Validation loss of each domain: a curve each where there is one run, else a plane each.
 *
 * @param runs The runs.
 * @returns The chart; null where no run has domains.
 */
export function domainChart(runs: readonly RunFigures[]): Chart | null {
  const domains = [
    ...new Set(
      runs.flatMap(({ validations }) =>
        validations.flatMap(({ valid_loss_by_domain = {} }) => Object.keys(valid_loss_by_domain))
      ),
    ),
  ];
  if (domains.length === 0) return null;
  const spec = runs.length === 1 ? oneRun(runs[0]!, domains) : planes(runs, domains);
  return {
    name: "domains",
    title: "Validation loss by domain",
    spec: { ...titled("Validation loss by domain", stageText(runs)), ...spec },
  };
}

/**
 * Where the first steps take more than half of the height, as in long runs, the axis leaves them
 * out: what runs differ in would be a flat line.
 */
function withoutBeginning(
  runs: readonly RunFigures[],
  [from, to]: readonly [number, number],
): Spec | null {
  const end = from + BEGINNING * (to - from);
  let [low, high, highest] = [Infinity, -Infinity, -Infinity];
  for (const { step, value } of runs.flatMap(lossPoints)) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    highest = Math.max(highest, value);
    if (step >= end) high = Math.max(high, value);
  }
  return highest - high > (highest - low) / 2 && high > low
    ? { domain: [low, high], nice: true }
    : null;
}

/** Of training and of validation. */
function lossPoints({ figures, validations }: RunFigures): Point[] {
  return [
    ...figures.loss,
    ...validations.map(({ step, valid_loss }) => ({ step, value: valid_loss })),
  ];
}

function oneRun(run: RunFigures, domains: readonly string[]): Spec {
  const domain = stepDomain([run]);
  const axes = { x: stepAxis(domain), y: valueAxis(NATS), color: curveColours(domains) };
  const curves = domains.map((name) => ({ name, points: domainPoints(run, name) }));
  return plane([
    ...stageLayers([run], domain),
    ...curveLayer(curves, axes, { point: { filled: true, size: 36 } }),
  ]);
}

function planes(runs: readonly RunFigures[], domains: readonly string[]): Spec {
  const domain = stepDomain(runs);
  const labels = runs.map(({ label }) => label);
  const axes = { x: stepAxis(domain), y: valueAxis(NATS), color: curveColours(labels) };
  const columns = domains.length === 1 ? 1 : 2;
  const size = { width: WIDTH / columns - 30 * (columns - 1), height: HEIGHT / columns + 30 };
  return {
    columns,
    spacing: 24,
    concat: domains.map((name) => ({
      title: { text: name, fontSize: 12, fontWeight: "normal", offset: 6 },
      ...plane([
        ...stageLayers(runs, domain),
        ...curveLayer(
          runs.map((run) => ({ name: run.label, points: domainPoints(run, name) })),
          axes,
          { point: { filled: true, size: 30 } },
        ),
      ], size),
    })),
    resolve: { scale: { color: "shared" } },
  };
}

function domainPoints({ validations }: RunFigures, name: string): Point[] {
  return validations.map(({ step, valid_loss_by_domain }) => ({
    step,
    value: valid_loss_by_domain?.[name] ?? NaN,
  }));
}
