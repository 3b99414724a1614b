/**
 * The table and the JSON of the speed comparison.
 *
 * @module
 */

import { cpus } from "node:os";
import type { Tokenizer } from "../../lib/data/tokenizer/tokenizer.ts";
import { median } from "../harness/samples.ts";
import { table } from "./_equality_report.ts";
import { BATCHES, type Mode, type Scenario } from "./_scenario.ts";

/** A contender's measurements. */
export interface Measured {
  readonly name: string;
  /** Milliseconds of each turn, block by block. */
  readonly blocks: (readonly number[])[];
  /** Whether the machine's peak changed during each block, however often that was timed. */
  readonly disturbed: boolean[];
  /** Losses or texts, including those of the warmup. */
  readonly values: (number | string | readonly number[])[];
}

/** All contenders at one kind of work, remoe first. */
export interface Contest {
  readonly mode: Mode;
  readonly measured: readonly Measured[];
}

/** What was compared, and how much of it. */
export interface SpeedSettings {
  readonly size: string;
  readonly scenario: Scenario;
  /** The texts' tokenizer. */
  readonly tokenizer: Tokenizer;
  /** PyTorch's version, or that it does not take part. */
  readonly peer: string;
  readonly threads: number;
  readonly rounds: number;
  readonly block: number;
}

/** A contender's figures. */
export interface Standing {
  readonly name: string;
  /** Median turn in milliseconds. */
  readonly median: number;
  /** Tokens per second at the median. */
  readonly tokensPerSecond: number;
  /** Its blocks during which the machine's peak changed. */
  readonly disturbed: number;
  /**
   * Its time over remoe's: the median of the ratios within rounds, and their range. Of rounds that
   * were disturbed for neither, if there are any.
   */
  readonly ratio: number;
  readonly ratioRange: readonly [number, number];
  /** Greatest difference of a loss from remoe's; for texts, the length of their common start. */
  readonly agreement: number;
}

/**
 * Computes medians and ratios.
 *
 * Ratios are taken within a round, since a machine's speed drifts over minutes.
 *
 * @param contest What was measured.
 * @param tokens Tokens per turn.
 * @param tokenizer The texts' tokenizer.
 * @returns One entry per contender.
 */
export function standings(
  { measured }: Contest,
  tokens: number,
  tokenizer: Tokenizer,
): Standing[] {
  const first = measured[0]!;
  return measured.map(({ name, blocks, disturbed, values }) => {
    const all = median(undisturbed(blocks, disturbed).flat());
    const ratios = undisturbed(
      blocks.map((block, round) => median(block) / median(first.blocks[round]!)),
      disturbed.map((of, round) => of || first.disturbed[round]!),
    );
    return {
      name,
      median: all,
      tokensPerSecond: tokens / all * 1e3,
      disturbed: disturbed.filter((of) => of).length,
      ratio: median(ratios),
      ratioRange: [Math.min(...ratios), Math.max(...ratios)],
      agreement: agreement(values, first.values, tokenizer),
    };
  });
}

/**
 * Formats the table.
 *
 * @param contests What was measured.
 * @param settings Size, threads, rounds.
 * @returns Markdown, and everything as JSON.
 */
export function speedReport(
  contests: readonly Contest[],
  settings: SpeedSettings,
): { text: string; json: unknown } {
  const { size, scenario: { config, state }, tokenizer, peer, threads, rounds, block } = settings;
  const { batch, sequence, micro_batch } = config.data;
  const results = contests.map((contest) => ({
    ...contest,
    standings: standings(
      contest,
      contest.mode === "generate" ? state.drawn : batch * sequence,
      tokenizer,
    ),
  }));
  const rows = results.flatMap(({ mode, standings }) =>
    standings.map((standing) => [
      `${mode}, ${standing.name}`,
      standing.median.toFixed(1),
      standing.tokensPerSecond.toFixed(0),
      standing.ratio.toFixed(2),
      standing.ratioRange.map((end) => end.toFixed(2)).join(" to "),
      mode === "generate" ? `${standing.agreement} bytes` : standing.agreement.toExponential(1),
      `${standing.disturbed} of ${rounds}`,
    ])
  );
  const { router, experts, active } = config.moe;
  const [{ model: processor } = { model: "" }] = cpus();
  const heading = `${processor}, ${threads} threads, ${peer}. ${size}, router ${router}, ` +
    `${active} of ${experts} experts, sparsity ${state.sparsity.toFixed(3)}, ` +
    `batch ${batch} × ${sequence} in micro-batches of ${micro_batch}, ` +
    `${rounds} rounds of ${block}.`;
  const head = [
    "",
    "median ms",
    "tokens/s",
    "time over remoe's",
    "range",
    "agreement",
    "disturbed",
  ];
  const date = new Date().toISOString();
  // Losses and texts are left out: the agreement says enough of them.
  const times = results.map(({ mode, measured, standings }) => ({
    mode,
    standings,
    measured: measured.map(({ name, blocks, disturbed }) => ({ name, blocks, disturbed })),
  }));
  return {
    text: `${heading}\n\n${table(head, rows)}`,
    json: { date, processor, peer, size, threads, rounds, block, state, config, results: times },
  };
}

/** What was not disturbed; all of it if everything was. */
function undisturbed<Figure>(
  figures: readonly Figure[],
  disturbed: readonly boolean[],
): readonly Figure[] {
  const kept = figures.filter((_, round) => !disturbed[round]);
  return kept.length === 0 ? figures : kept;
}

function agreement(
  values: Measured["values"],
  reference: Measured["values"],
  tokenizer: Tokenizer,
): number {
  if (typeof reference[0] === "number") {
    const common = Math.min(values.length, reference.length, BATCHES);
    return Math.max(
      ...values.slice(0, common).map((value, i) => Math.abs(Number(value) - Number(reference[i]))),
    );
  }
  const [a, b] = [textOf(values[0]!, tokenizer), textOf(reference[0]!, tokenizer)];
  const differs = [...a].findIndex((byte, i) => byte !== b[i]);
  return differs < 0 ? a.length : differs;
}

function textOf(value: Measured["values"][number], tokenizer: Tokenizer): string {
  return typeof value === "string" ? value : tokenizer.decode(value as readonly number[]);
}
