// Generated from kernels/include/remoe.h by `deno task build:symbols`: do not edit.

import { PlanWord, RecordField, StateSlot } from "./codes.ts";

/**
 * Index of the first double of a layer's record. With `layer` the number of layers: the
 * doubles in the state.
 */
export function stateRecord(layer: number, experts: number): number {
  return StateSlot.header + layer * (RecordField.extra + experts);
}

/** First word of a plan's expert_offset [E+1]: the first row of each expert. */
export function planExpertOffset(): number {
  return PlanWord.header;
}

/** First word of a plan's token_offset [T+1]: the first slot of each token. */
export function planTokenOffset(experts: number): number {
  return planExpertOffset() + experts + 1;
}

/** First word of a plan's row_token [C]: the token of each row. */
export function planRowToken(tokens: number, experts: number): number {
  return planTokenOffset(experts) + tokens + 1;
}

/** First word of a plan's token_row [C]: the rows of each token, experts ascending. */
export function planTokenRow(tokens: number, experts: number, capacity: number): number {
  return planRowToken(tokens, experts) + capacity;
}

/** Total words of a plan. */
export function planWords(tokens: number, experts: number, capacity: number): number {
  return planTokenRow(tokens, experts, capacity) + capacity;
}
