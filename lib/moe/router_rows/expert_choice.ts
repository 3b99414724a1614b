/** The row of the expert-choice router. @module */

import { completeRow } from "../complete_row.ts";
import { expertShare } from "../expert_share.ts";
import { routedSizes } from "../layer_sizes.ts";

/** The tokens that an expert chooses among: those of a micro-batch, or of one sequence. */
export type GroupName = "batch" | "sequence";

/** Settings of the expert-choice router. */
export interface ExpertChoiceKeys {
  /** Tokens that each expert takes, as a multiple of its even share k/E. */
  readonly capacity: number;
  /** The tokens that the experts choose among. */
  readonly group: GroupName;
}

/** The row of the expert-choice router. */
export const EXPERT_CHOICE = completeRow<ExpertChoiceKeys>({
  about: "each expert takes the tokens likeliest to be its own; sees later tokens",
  causal: false,
  exact: true,
  keys: {
    capacity: {
      type: "number",
      above: 0,
      default: 1,
      about: "Tokens that each expert of the expert-choice router takes, as a multiple of its " +
        "even share active / experts",
    },
    group: {
      type: "choice",
      values: ["batch", "sequence"],
      default: "batch",
      about: "Tokens that the expert-choice router's experts choose among: a micro-batch's or a " +
        "sequence's",
    },
  },
  activeFrom: ({ capacity, ...moe }) => [{ from: 0, most: capacity * routedSizes(moe).active }],
  rows: ({ capacity, group, ...moe }, { tokens, sequence }) => {
    const { active, experts } = routedSizes(moe);
    const size = group === "sequence" ? sequence : tokens;
    return tokens / size * experts * expertShare(size, capacity * active / experts);
  },
  problems: ({ capacity, ...moe }) => {
    const { active, experts } = routedSizes(moe);
    const most = experts / active;
    return capacity <= most || active < 1 ? [] : [
      `moe.capacity is ${capacity}, expected at most moe.experts / moe.active (${most}), where ` +
      `every expert takes all tokens`,
    ];
  },
});
