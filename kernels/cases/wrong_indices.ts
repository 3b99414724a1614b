/**
 * Indices in data, as tokens and targets, that are out of range.
 *
 * @module
 */

import { DeviceError } from "../../lib/errors.ts";
import { type KernelContext, Status } from "../../lib/ffi/mod.ts";
import { attentionExtendCase } from "./attention_extend.ts";
import { inputsOf, type KernelCase } from "./case.ts";
import { crossEntropyCase, crossEntropyGradientCase } from "./cross_entropy.ts";
import { embeddingCase, embeddingGradientCase } from "./embedding.ts";
import { runCase } from "./placed_case.ts";
import { tokenScoresCase } from "./token_scores.ts";

/** A case, the input that holds indices, and the position and values that are tried there. */
export interface WrongIndices {
  readonly kernelCase: KernelCase;
  readonly indices: string;
  readonly position: number;
  readonly outside: readonly number[];
}

const VOCABULARY = 11;
const LOOKUP = { count: 9, hidden: 4, vocabulary: VOCABULARY };
const HEAD = { tokens: 9, hidden: 4, vocabulary: VOCABULARY };
const CAPACITY = 4;

/** The functions that take indices. */
export const WRONG_INDICES: readonly WrongIndices[] = [
  {
    kernelCase: embeddingCase(LOOKUP),
    indices: "tokens",
    position: 6,
    outside: [-1, VOCABULARY, 2 ** 30],
  },
  {
    kernelCase: embeddingGradientCase(LOOKUP),
    indices: "tokens",
    position: 6,
    outside: [-1, VOCABULARY, -(2 ** 31)],
  },
  // A negative target is ignored, not out of range.
  {
    kernelCase: crossEntropyCase(HEAD),
    indices: "targets",
    position: 6,
    outside: [VOCABULARY, 2 ** 31 - 1],
  },
  {
    kernelCase: crossEntropyGradientCase(HEAD),
    indices: "targets",
    position: 6,
    outside: [VOCABULARY],
  },
  {
    kernelCase: attentionExtendCase({
      lengths: [1, 0, 3],
      capacity: CAPACITY,
      heads: 2,
      groups: 1,
      headDim: 4,
    }),
    indices: "lengths",
    position: 1,
    outside: [-1, CAPACITY, 2 ** 30],
  },
  // The second sequence has row 0: row 2 is taken.
  {
    kernelCase: attentionExtendCase({
      ...{ lengths: [1, 0, 3], rows: [2, 0], counts: [1, 2], capacity: CAPACITY },
      ...{ heads: 2, groups: 1, headDim: 4 },
    }),
    indices: "rows",
    position: 1,
    outside: [-1, 3, 2, 2 ** 30],
  },
  {
    kernelCase: tokenScoresCase(HEAD),
    indices: "targets",
    position: 6,
    outside: [VOCABULARY, 2 ** 31 - 1],
  },
  {
    kernelCase: tokenScoresCase({ ...HEAD, rows: [8, 0, 3, 1] }),
    indices: "rows",
    position: 2,
    outside: [-1, HEAD.tokens, 2 ** 30],
  },
];

/**
 * Asserts that a wrong index is reported once, by the call that met it or the next one that waits,
 * with its position.
 *
 * @param kernels The device.
 * @param wrong The case.
 * @param index The index.
 */
export function assertNamesIndex(
  kernels: KernelContext,
  { kernelCase, indices, position }: WrongIndices,
  index: number,
): void {
  const inputs = inputsOf(kernelCase);
  (inputs[indices] as Int32Array)[position] = index;
  const error = thrownBy(() => runCase(kernels, kernelCase, inputs));
  const expected = new RegExp(
    `\\b${kernelCase.operation}: .*(${index}\\b.*\\b${position}\\b|\\b${position}\\b.* ${index}\\b)`,
  );
  if (
    !(error instanceof DeviceError) || error.status !== Status.outOfRange ||
    !expected.test(error.message)
  ) throw new Error(`${indices}[${position}] = ${index} gave: ${error}`);
  runCase(kernels, kernelCase, inputsOf(kernelCase));
}

function thrownBy(call: () => unknown): unknown {
  try {
    call();
    return undefined;
  } catch (error) {
    return error;
  }
}
