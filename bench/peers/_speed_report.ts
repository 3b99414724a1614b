/**
 * The table and the JSON of the comparison of speed.
 *
 * @module
 */

import { cpus } from "node:os";
import type { Tokenizer } from "../../lib/data/tokenizer/tokenizer.ts";
import { table } from "./_equality_report.ts";
import { BATCHES, type Mode, type Scenario } from "./_scenario.ts";

/** What a contender did. */
export interface Measured {
  readonly name: string;
  /** Milliseconds of each turn, block by block. */
  readonly blocks: (readonly number[])[];
  /** Losses or texts, those of the warmup included. */
  readonly values: (number | string | readonly number[])[];
}

/** All contenders at one kind of work; remoe is the first. */
export interface Contest {
  readonly mode: Mode;
  readonly measured: readonly Measured[];
}

/** What was compared, and how much of it. */
export interface SpeedSettings {
  readonly size: string;
  readonly scenario: Scenario;
  /** That of the texts. */
  readonly tokenizer: Tokenizer;
  /** PyTorch's version. */
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
  /** Tokens a second at the median. */
  readonly tokensPerSecond: number;
  /** Its time over remoe's: the median of the rounds' own ratios, and their range. */
  readonly ratio: number;
  readonly ratioRange: readonly [number, number];
  /** Greatest difference of a loss from remoe's; for texts, the bytes that are the same. */
  readonly agreement: number;
}

/**
 * Works out medians and ratios.
 *
 * Rounds are compared with themselves, since a machine's speed moves in the course of minutes.
 *
 * @param contest What was measured.
 * @param tokens Tokens of a turn.
 * @param tokenizer That of the texts.
 * @returns One entry a contender.
 */
export function standings(
  { measured }: Contest,
  tokens: number,
  tokenizer: Tokenizer,
): Standing[] {
  const first = measured[0]!;
  return measured.map(({ name, blocks, values }) => {
    const all = median(blocks.flat());
    const ratios = blocks.map((block, round) => median(block) / median(first.blocks[round]!));
    return {
      name,
      median: all,
      tokensPerSecond: tokens / all * 1e3,
      ratio: median(ratios),
      ratioRange: [Math.min(...ratios), Math.max(...ratios)],
      agreement: agreement(values, first.values, tokenizer),
    };
  });
}

/**
 * Writes the table.
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
    ])
  );
  const { router, experts, active } = config.moe;
  const [{ model: processor } = { model: "" }] = cpus();
  const heading =
    `${processor}, ${threads} threads, ${peer}. ${size}, router ${router}, ${active} of ${experts} ` +
    `experts, sparsity ${
      state.sparsity.toFixed(3)
    }, batch ${batch} × ${sequence} in micro-batches ` +
    `of ${micro_batch}, ${rounds} rounds of ${block}.`;
  const head = ["", "median ms", "tokens/s", "time over remoe's", "range", "agreement"];
  const date = new Date().toISOString();
  // Of losses and texts, what they have in common says enough.
  const times = results.map(({ mode, measured, standings }) => ({
    mode,
    standings,
    measured: measured.map(({ name, blocks }) => ({ name, blocks })),
  }));
  return {
    text: `${heading}\n\n${table(head, rows)}`,
    json: { date, processor, peer, size, threads, rounds, block, state, config, results: times },
  };
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

/** The middle value, or the mean of the two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
