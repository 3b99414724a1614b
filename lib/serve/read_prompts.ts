/** Reads prompts into the cache, a bounded number of tokens at a time. @module */

import type { CachedRows, HostScores } from "./cached_rows.ts";
import type { PromptJob } from "./prompt_job.ts";
import { requireFinite, scoreToken, type TokenScore } from "./token_scores.ts";

/** The next tokens of a prompt. */
export interface PromptPart {
  /** The prompt. */
  readonly job: PromptJob;
  /** The tokens. */
  readonly tokens: readonly number[];
  /** The tokens that follow each of them. */
  readonly targets: readonly number[];
}

/** The parts that a step reads, by what they take. */
export interface PromptParts {
  /** Those whose rows are extended. */
  readonly extended: readonly PromptPart[];
  /** Those whose tokens the kernels score meanwhile. */
  readonly scored: readonly PromptPart[];
}

/**
 * Chooses what to read next, in order of arrival.
 *
 * @param jobs The prompts.
 * @param most Most tokens to read.
 * @returns The parts.
 */
export function nextParts(jobs: readonly PromptJob[], most: number): PromptParts {
  const [extended, scored]: [PromptPart[], PromptPart[]] = [[], []];
  let left = most;
  for (const job of jobs) {
    const size = Math.min(left, readsSingly(job) ? 1 : left, job.unread);
    if (size === 0) continue;
    left -= size;
    const { read, request: { tokens, scoresPrompt } } = job;
    const isScored = scoresPrompt && !readsSingly(job);
    (isScored ? scored : extended).push({
      job,
      tokens: tokens.slice(read, read + size),
      targets: tokens.slice(read + 1, read + 1 + size),
    });
  }
  return { extended, scored };
}

/** The kernels score a token and the likeliest one; more of them take the logits of each place. */
function readsSingly({ request }: PromptJob): boolean {
  return request.scoresPrompt && request.scores! > 1;
}

/**
 * Notes that a part has been read by extending its row.
 *
 * @param part The part.
 * @param logits Those of the token after it.
 */
export function takeExtension({ job, tokens, targets }: PromptPart, logits: Float32Array): void {
  const isScored = readsSingly(job);
  for (const target of targets) {
    job.scores.push(isScored ? scoreToken(logits, target, job.request.scores!) : null);
  }
  job.read += tokens.length;
}

/**
 * Reads parts and scores their tokens.
 *
 * @param parts The parts.
 * @param rows The cache.
 */
export async function readScored(parts: readonly PromptPart[], rows: CachedRows): Promise<void> {
  const scores = await rows.score(
    parts.map(({ tokens }) => tokens),
    parts.map(({ targets }) => targets),
    parts.map(({ job }) => job.rows[0]!),
  );
  let at = 0;
  for (const { job, tokens, targets } of parts) {
    for (const target of targets) job.scores.push(scoreAt(scores, at++, target, job));
    job.read += tokens.length;
  }
}

function scoreAt(scores: HostScores, at: number, target: number, job: PromptJob): TokenScore {
  const greedy = scores.greedy[at]!;
  const best = requireFinite(scores.greedyLogProbability[at]!, greedy);
  return {
    logProbability: requireFinite(scores.logProbability[at]!, target),
    top: job.request.scores === 0 ? [] : [[greedy, best]],
  };
}
