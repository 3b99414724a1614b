/** Routing masks in host memory: which experts each token goes to. @module */

import { ConfigError } from "../errors.ts";
import { Routed } from "../moe/routed.ts";
import type { Routing } from "../moe/routing.ts";
import type { RoutingObserver } from "../moe/routing_context.ts";
import { unwrapped } from "../tensor/operands.ts";
import { download } from "../tensor/transfer.ts";

/** The mask M of equation 14 for one layer, one bit per pair of token and expert. */
export interface HostMask {
  /** Number of tokens, T. */
  readonly tokens: number;
  /** Number of experts, E. */
  readonly experts: number;
  /** `[T, ceil(E/32)]`: expert e is bit e mod 32 of word ⌊e/32⌋. */
  readonly words: Uint32Array;
}

/**
 * Collects the masks of a forward pass.
 *
 * @param layers Number of layers, L.
 * @param run Runs the model with an observer of its routing.
 * @returns The mask of each layer.
 * @throws {ConfigError} If a layer does not report its routing.
 */
export function collectMasks(
  layers: number,
  run: (onRouting: RoutingObserver) => void,
): HostMask[] {
  const masks: HostMask[] = [];
  run((layer, routing) => masks[layer] = maskOf(routing));
  const silent = Array.from({ length: layers }, (_, layer) => layer in masks).indexOf(false);
  if (silent < 0) return masks;
  throw new ConfigError(
    `Cannot observe the routing of layer ${silent}: it does not call onRouting of its context`,
  );
}

/**
 * Copies a routing's mask to the host.
 *
 * @param routing The routing; its tensors must still exist.
 * @returns Which pairs are routed.
 */
export function maskOf(routing: Routing): HostMask {
  const [tokens, experts] = routing.gates.shape;
  // As in MoE: a routing that the library did not build is that of its gates.
  if (!Routed.isOne(routing)) return maskFrom(download(unwrapped(routing.gates)), tokens, experts);
  return { tokens, experts, words: new Uint32Array(download(routing.mask).buffer) };
}

/**
 * Builds the mask of the pairs whose value is not 0.
 *
 * @param values `[T, E]`, row by row.
 * @param tokens Number of tokens, T.
 * @param experts Number of experts, E.
 * @returns The mask.
 */
export function maskFrom(
  values: ArrayLike<number>,
  tokens: number,
  experts: number,
): HostMask {
  const width = Math.ceil(experts / 32);
  const words = new Uint32Array(tokens * width);
  for (let token = 0; token < tokens; token++) {
    for (let expert = 0; expert < experts; expert++) {
      if (values[token * experts + expert] === 0) continue;
      const word = token * width + (expert >>> 5);
      words[word] = words[word]! | (1 << (expert & 31));
    }
  }
  return { tokens, experts, words };
}

/**
 * Lists the experts of a token.
 *
 * @param mask The mask of a layer.
 * @param token The token's index, from 0.
 * @returns The experts in ascending order.
 */
export function expertsOf({ experts, words }: HostMask, token: number): number[] {
  const width = Math.ceil(experts / 32);
  const active: number[] = [];
  for (let word = 0; word < width; word++) {
    for (let bits = words[token * width + word]!; bits !== 0; bits &= bits - 1) {
      active.push(32 * word + 31 - Math.clz32(bits & -bits));
    }
  }
  return active;
}

/**
 * Counts the pairs in which two masks differ: ‖vec(M − M′)‖₁.
 *
 * @param mask The mask of a layer.
 * @param other The mask of the same tokens and experts at another step.
 * @returns The number of pairs.
 */
export function differingPairs(mask: HostMask, other: HostMask): number {
  return mask.words.reduce((sum, word, i) => sum + bitCount(word ^ other.words[i]!), 0);
}

/** Number of bits set in a 32-bit word. */
function bitCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
