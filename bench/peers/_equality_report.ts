/**
 * The tables of the comparison with PyTorch, and which of their figures exceed the limits.
 *
 * @module
 */

import type { CapturedRun } from "./_capture.ts";

/** One point of a run, as reported by `equality.py`. Differences are remoe minus PyTorch. */
export interface PointFigures {
  readonly step: number;
  readonly loss: number;
  /** Share of pairs that remoe did not route. */
  readonly sparsity: number;
  /** Difference in loss when PyTorch chooses the experts by itself. */
  readonly loss_difference: number;
  /** Difference in loss with remoe's choice. */
  readonly forced_loss_difference: number;
  /** The same with PyTorch in float64. */
  readonly exact_loss_difference: number;
  /** (token, expert) pairs, over all layers. */
  readonly pairs: number;
  /** Pairs that only one of the two routes. */
  readonly flipped_pairs: number;
  /** Tokens with such a pair, counted per layer. */
  readonly flipped_tokens: number;
  /** Greatest relative difference of a parameter's gradient when PyTorch chooses by itself. */
  readonly free_gradient: number;
  /** The same with remoe's choice. */
  readonly gradient: number;
  /** The parameter with that gradient. */
  readonly worst_parameter: string;
  /** Distance of remoe's gradient from float64. */
  readonly gradient_to_exact: number;
  /** Distance of PyTorch's fp32 gradient from float64. */
  readonly pytorch_gradient_to_exact: number;
}

/** A step of PyTorch's own run. */
export interface FreeStep {
  readonly loss: number;
  readonly lambda: number;
}

/** What PyTorch found in one case. */
export interface PeerRun {
  readonly points: readonly PointFigures[];
  /** Its own training in fp32. */
  readonly steps: readonly FreeStep[];
  /** The same in float64. */
  readonly exact_steps: readonly FreeStep[];
}

/** Both sides of one case. */
export interface Compared {
  readonly name: string;
  /** Steps for which separate runs must agree, if fewer than the limits say. */
  readonly freeSteps?: number | undefined;
  readonly run: CapturedRun;
  readonly peer: PeerRun;
}

/** How much may differ. */
export interface Limits {
  /** Loss of one step, in nats. */
  readonly loss: number;
  /** Relative difference of a gradient, with the same routing. */
  readonly gradient: number;
  /**
   * Loss of separate runs over the first `freeSteps`, PyTorch's in float64: in fp32 its own rounding
   * may grow into another run.
   */
  readonly freeLoss: number;
  readonly freeSteps: number;
}

/**
 * Formats the tables.
 *
 * @param compared The cases.
 * @param limits How much may differ.
 * @returns The text, and a line for each limit exceeded.
 */
export function equalityReport(
  compared: readonly Compared[],
  limits: Limits,
): { text: string; failures: string[] } {
  const failures = compared.flatMap((each) => failuresOf(each, limits));
  const verdict = failures.length === 0
    ? "All within their limits."
    : ["Beyond their limits:", ...failures.map((failure) => `- ${failure}`)].join("\n");
  const { loss, gradient, freeLoss, freeSteps } = limits;
  const text = [
    pointTable(compared),
    freeTable(compared, freeSteps),
    `Limits: loss ${loss}, gradient ${gradient} with the same routing, loss of separate runs ` +
    `${freeLoss} from float64 for ${freeSteps} steps.`,
    verdict,
  ].join("\n\n");
  return { text, failures };
}

function failuresOf(
  { name, freeSteps = Infinity, run, peer }: Compared,
  limits: Limits,
): string[] {
  const failures: string[] = [];
  const check = (what: string, value: number, limit: number): void => {
    // Negated so that NaN fails.
    if (!(value <= limit)) failures.push(`${name}: ${what} ${value.toExponential(1)} > ${limit}`);
  };
  for (const point of peer.points) {
    check(`loss at step ${point.step}`, Math.abs(point.forced_loss_difference), limits.loss);
    check(`gradient of ${point.worst_parameter}`, point.gradient, limits.gradient);
  }
  const steps = Math.min(freeSteps, limits.freeSteps);
  const free = greatest(differences(run.steps, peer.exact_steps).slice(0, steps));
  check("loss of separate runs", free, limits.freeLoss);
  return failures;
}

function pointTable(compared: readonly Compared[]): string {
  const rows = compared.flatMap(({ name, peer }) =>
    peer.points.map((point) => [
      name,
      String(point.step),
      point.loss.toFixed(4),
      point.sparsity.toFixed(3),
      scientific(point.loss_difference),
      scientific(point.forced_loss_difference),
      `${point.flipped_pairs} / ${point.pairs}`,
      String(point.flipped_tokens),
      scientific(point.free_gradient),
      scientific(point.gradient),
      scientific(point.gradient_to_exact),
      scientific(point.pytorch_gradient_to_exact),
    ])
  );
  return table([
    "case",
    "step",
    "loss",
    "sparsity",
    "Δ loss",
    "Δ loss, same routing",
    "pairs flipped",
    "tokens",
    "gradient",
    "gradient, same routing",
    "remoe to float64",
    "PyTorch to float64",
  ], rows);
}

function freeTable(compared: readonly Compared[], freeSteps: number): string {
  const rows = compared.map(({ name, run, peer }) => {
    const ours = differences(run.steps, peer.exact_steps);
    const theirs = differences(peer.steps, peer.exact_steps);
    const beyond = ours.findIndex((difference) => difference > 1e-4);
    const diverged = run.steps.findIndex(({ lambda }, i) =>
      Math.abs(Math.log(lambda / peer.exact_steps[i]!.lambda)) > 1e-6
    );
    return [
      name,
      scientific(greatest(ours.slice(0, freeSteps))),
      scientific(greatest(ours)),
      beyond < 0 ? "never" : String(beyond),
      diverged < 0 ? "never" : String(diverged),
      scientific(greatest(theirs.slice(0, freeSteps))),
      scientific(greatest(theirs)),
      (run.steps.at(-1)?.loss ?? NaN).toFixed(5),
      (peer.steps.at(-1)?.loss ?? NaN).toFixed(5),
      (peer.exact_steps.at(-1)?.loss ?? NaN).toFixed(5),
    ];
  });
  return table([
    "separate runs",
    `remoe to float64, to step ${freeSteps}`,
    "to the end",
    "above 1e-4 from step",
    "λ differs from step",
    `PyTorch to float64, to step ${freeSteps}`,
    "to the end",
    "last loss, remoe",
    "PyTorch",
    "float64",
  ], rows);
}

/** Of each step, how far two runs' losses are apart. */
function differences(
  steps: readonly { readonly loss: number }[],
  others: readonly FreeStep[],
): number[] {
  return steps.map(({ loss }, i) => Math.abs(loss - (others[i]?.loss ?? NaN)));
}

function greatest(values: readonly number[]): number {
  return Math.max(0, ...values);
}

function scientific(value: number): string {
  return value === 0 ? "0" : value.toExponential(1);
}

/** A Markdown table; all columns but the first are numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, column) => column === 0 ? "---" : "---:");
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}
