import { type OperationCase, operationCase, output } from "./case.ts";
import { crossEntropyName, type CrossEntropyOptions, drawHead } from "./cross_entropy_head.ts";
import { tokenScores } from "./reference/token_scores.ts";
import { activations } from "./stored.ts";
import { EXACT, plus, rounded } from "./tolerance.ts";

/** Sizes of an output head, and which tokens are scored. */
export interface TokenScoresOptions extends CrossEntropyOptions {
  /** Tokens to score; by default all, which is passed as no list. */
  readonly rows?: readonly number[];
}

/**
 * A case of `remoe_token_scores`.
 *
 * @param options Sizes and targets.
 * @returns The case.
 */
export function tokenScoresCase(options: TokenScoresOptions): OperationCase {
  const { tokens, hidden, vocabulary, scale = 1, rows } = options;
  const { dtype, code, bytes, product } = activations(options.dtype);
  const perToken = plus(product(hidden, scale / Math.sqrt(hidden)), rounded(6, scale));
  const count = rows?.length ?? tokens;
  return operationCase({
    name: crossEntropyName("token_scores", options) +
      (rows === undefined ? "" : ` rows ${rows}`),
    operation: "token_scores",
    symbols: ["remoe_token_scores"],
    flops: 2 * count * hidden * vocabulary,
    bytes: bytes * (count * hidden + hidden * vocabulary) + 12 * tokens,
    dtype,
    inputs: (random) => ({
      ...drawHead(random, options),
      ...rows === undefined ? {} : { rows: Int32Array.from(rows) },
    }),
    outputs: {
      log_probability: output([tokens], perToken),
      greedy: output([tokens], EXACT, "i32"),
      greedy_log_probability: output([tokens], perToken),
    },
    call(k, at) {
      const status = k.symbols.remoe_token_scores(
        k.handle,
        code,
        at("log_probability"),
        at("greedy"),
        at("greedy_log_probability"),
        at("x"),
        at("w"),
        at("targets"),
        rows === undefined ? 0n : at("rows"),
        count,
        tokens,
        hidden,
        vocabulary,
      );
      k.check(status, "token_scores");
    },
    reference: ({ x, w, targets }) => {
      const scores = tokenScores(x, w, targets, options);
      return {
        log_probability: scores.logProbability,
        greedy: scores.greedy,
        greedy_log_probability: scores.greedyLogProbability,
      };
    },
  });
}

const HEADS: readonly TokenScoresOptions[] = [
  { tokens: 1, hidden: 1, vocabulary: 1 },
  { tokens: 3, hidden: 5, vocabulary: 7 },
  { tokens: 65, hidden: 32, vocabulary: 257, ignored: 0.25 },
  { tokens: 150, hidden: 9, vocabulary: 5000 },
  { tokens: 33, hidden: 16, vocabulary: 100, scale: 40 },
  { tokens: 9, hidden: 6, vocabulary: 30, ignored: 1 },
  { tokens: 20, hidden: 24, vocabulary: 300, ignored: 0.25, rows: [19, 3, 4, 0, 11] },
  { tokens: 70, hidden: 24, vocabulary: 264, ignored: 0.25 },
  // Whole logits, many of them equal: of those, the first is the greedy one.
  { tokens: 7, hidden: 2, vocabulary: 300, offset: 0 },
  { tokens: 7, hidden: 2, vocabulary: 4200, offset: 1.6e7 },
  { tokens: 7, hidden: 2, vocabulary: 300, offset: -1.6e7 },
];

/** Cases of scores by the output head; the last has more tiles than threads. */
export const TOKEN_SCORES_CASES: readonly OperationCase[] = [
  ...(["f32", "bf16"] as const).flatMap((dtype) =>
    HEADS.map((head) => tokenScoresCase({ ...head, dtype }))
  ),
  tokenScoresCase({ tokens: 600, hidden: 8, vocabulary: 2100, ignored: 0.1 }),
];
