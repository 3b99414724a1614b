/**
 * Charts of the training loss and of the validation loss, overall and by domain.
 *
 * @module
 */

import {
  type Chart,
  curveColours,
  HEIGHT,
  horizontalAxis,
  plane,
  runColours,
  stageLayers,
  stageText,
  titled,
  valueAxis,
  WIDTH,
} from "./chart.ts";
import { curveLayer, type DrawOptions, scatteredCurves, smoothCurves } from "./curve_layers.ts";
import type { ValidationMetrics } from "../run/metrics_line.ts";
import { endLabels } from "./end_labels.ts";
import type { Point, RunFigures } from "./run_figures.ts";
import type { Spec } from "./theme.ts";
import { warmScale } from "./warm_scale.ts";

/**
 * Training and validation loss of all runs.
 *
 * @param runs The runs.
 * @param options How strongly to smooth.
 * @returns The chart.
 */
export function lossChart(runs: readonly RunFigures[], options: DrawOptions): Chart {
  const scale = warmScale(runs.map(lossPoints), runs, options);
  const position = { x: horizontalAxis(runs), y: lossAxis(scale) };
  const several = runs.length > 1;
  const name = (label: string, kind: string): string => several ? label : kind;
  const color = several ? runColours(runs) : curveColours(["training", "validation"]);
  const axes = { ...position, color };
  const training = runs.map(({ label, figures }) => ({
    name: name(label, "training"),
    points: figures.loss,
  }));
  const validation = runs.map(({ label, validations }) => ({
    name: name(label, "validation"),
    points: validations.map(({ x, valid_loss }): Point => ({ x, value: valid_loss })),
  }));
  const ends = runs.map((_, index) =>
    validation[index]!.points.length > 0
      ? validation[index]!
      : smoothCurves([training[index]!], options)[0]!
  );
  const notes = [
    ...(several ? ["with dots: validation"] : []),
    ...(scale === null ? [] : ["the warm-up lies above"]),
  ].join("; ") || undefined;
  return {
    name: "loss",
    title: "Loss",
    spec: {
      ...titled("Training and validation loss", stageText(runs), notes),
      ...plane([
        ...stageLayers(runs, color),
        ...scatteredCurves(training, axes, options, { clip: true }),
        ...curveLayer(validation, axes, {
          clip: true,
          strokeWidth: 1.5,
          strokeDash: several ? [5, 3] : [1, 0],
          point: { filled: true, size: 36 },
        }),
        ...endLabels(ends, axes, (value) => value.toFixed(3)),
      ]),
    },
  };
}

/**
 * Validation loss by domain: a curve per domain for a single run, a panel per domain for several.
 *
 * @param runs The runs.
 * @param options Whether the vertical axis covers the warm-up.
 * @returns The chart; null if no run has domains.
 */
export function domainChart(runs: readonly RunFigures[], options: DrawOptions): Chart | null {
  const domains = [
    ...new Set(
      runs.flatMap(({ validations }) =>
        validations.flatMap(({ valid_loss_by_domain = {} }) => Object.keys(valid_loss_by_domain))
      ),
    ),
  ];
  if (domains.length === 0) return null;
  const spec = runs.length === 1
    ? oneRun(runs[0]!, domains, options)
    : planes(runs, domains, options);
  return {
    name: "domains",
    title: "Validation loss by domain",
    spec: { ...titled("Validation loss by domain", stageText(runs)), ...spec },
  };
}

/** Training and validation losses together. */
function lossPoints({ figures, validations }: RunFigures): Point[] {
  return [...figures.loss, ...validations.map(({ x, valid_loss }) => ({ x, value: valid_loss }))];
}

function oneRun(run: RunFigures, domains: readonly string[], options: DrawOptions): Spec {
  const curves = domains.map((name) => ({ name, points: domainPoints(run, name) }));
  const scale = warmScale(curves.map(({ points }) => points), domains.map(() => run), options);
  const axes = {
    x: horizontalAxis([run]),
    y: lossAxis(scale),
    color: curveColours(domains),
  };
  return plane([
    ...stageLayers([run]),
    ...curveLayer(curves, axes, { clip: true, point: { filled: true, size: 36 } }),
    ...endLabels(curves, axes, (value) => value.toFixed(3)),
  ]);
}

function planes(
  runs: readonly RunFigures[],
  domains: readonly string[],
  options: DrawOptions,
): Spec {
  const x = horizontalAxis(runs);
  const color = runColours(runs, runs.filter(({ validations }) => validations.some(hasDomains)));
  const columns = domains.length === 1 ? 1 : 2;
  const size = { width: WIDTH / columns - 30 * (columns - 1), height: HEIGHT / columns + 30 };
  return {
    columns,
    spacing: 24,
    concat: domains.map((name) => {
      const curves = runs.map((run) => ({ name: run.label, points: domainPoints(run, name) }));
      const scale = warmScale(curves.map(({ points }) => points), runs, options);
      const axes = { x, y: lossAxis(scale), color };
      return {
        title: { text: name, fontSize: 12, fontWeight: "normal", offset: 6 },
        ...plane([
          ...stageLayers(runs, color),
          ...curveLayer(curves, axes, { clip: true, point: { filled: true, size: 30 } }),
          ...endLabels(curves, axes, (value) => value.toFixed(3), size.height),
        ], size),
      };
    }),
    resolve: { scale: { color: "shared" } },
  };
}

function lossAxis(scale: Spec | null): Spec {
  return valueAxis({ title: "loss (nats per token)", scale: scale ?? {} });
}

function hasDomains({ valid_loss_by_domain: losses }: ValidationMetrics): boolean {
  return losses !== undefined;
}

function domainPoints({ validations }: RunFigures, name: string): Point[] {
  return validations.map(({ x, valid_loss_by_domain }) => ({
    x,
    value: valid_loss_by_domain?.[name] ?? NaN,
  }));
}
