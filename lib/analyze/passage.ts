/** A text with the experts of each of its tokens. @module */

import { routedLayers } from "../config/layer_widths.ts";
import type { Device } from "../autograd/device.ts";
import type { Tokenizer } from "../data/tokenizer/tokenizer.ts";
import type { OpenedModel } from "../model/open_model.ts";
import { unwrapped } from "../tensor/operands.ts";
import { download } from "../tensor/transfer.ts";
import { expertsOf, maskOf } from "./host_mask.ts";

/** A token of a {@linkcode Passage}. */
export interface PassageToken {
  /** The token id. */
  readonly id: number;
  /**
   * Its text, ∎ at the end of a document. If a character spans several tokens, the first has the
   * text and the others none.
   */
  readonly text: string;
}

/** An expert and its gate. */
export type ExpertGate = readonly [expert: number, gate: number];

/** A text with the experts of each of its tokens. */
export interface Passage {
  /** Where the text comes from. */
  readonly title: string;
  /** Its tokens. */
  readonly tokens: readonly PassageToken[];
  /** Per layer and token, its experts with their gates, in ascending order. */
  readonly layers: readonly (readonly (readonly ExpertGate[])[])[];
}

/**
 * Routes a text, cut into rows as long as in training; a row does not see the rows before it.
 *
 * @param opened The model.
 * @param device Its device.
 * @param title Where the text comes from.
 * @param ids The text's token ids, at least one.
 * @returns The tokens and their experts.
 */
export function routePassage(
  { model, tokenizer, config }: OpenedModel,
  device: Device,
  title: string,
  ids: Int32Array,
): Passage {
  const { data: { sequence } } = config;
  const depth = routedLayers(config);
  const layers: ExpertGate[][][] = Array.from({ length: depth }, () => []);
  for (let start = 0; start < ids.length; start += sequence) {
    const row = ids.slice(start, start + sequence);
    using _scope = device.noGradient();
    model.logits(device.tokens(row), row.length, {
      training: false,
      onRouting: (layer, routing) => {
        const gates = download(unwrapped(routing.gates));
        const mask = maskOf(routing);
        for (let token = 0; token < mask.tokens; token++) {
          layers[layer]!.push(
            expertsOf(mask, token).map((e) => [e, gates[token * mask.experts + e]!] as const),
          );
        }
      },
    });
  }
  return { title, tokens: textsOf(ids, tokenizer), layers };
}

/**
 * Returns the text of a token id by itself.
 *
 * @param id The id.
 * @param tokenizer Its tokenizer.
 * @returns The text, or its bytes in hexadecimal if they do not form complete characters.
 */
export function tokenText(id: number, tokenizer: Tokenizer): string {
  if (id === tokenizer.endOfDocument) return "end of document";
  const ids = [id];
  return isWhole(ids, tokenizer) ? tokenizer.decode(ids) : hexadecimal(ids, tokenizer);
}

/** Most bytes of a character in UTF-8, hence most tokens that a character spans. */
const LONGEST = 4;

/** The text of each token of a sequence; characters of several tokens go to the first of them. */
function textsOf(ids: Int32Array, tokenizer: Tokenizer): PassageToken[] {
  const tokens: PassageToken[] = [];
  while (tokens.length < ids.length) {
    const at = tokens.length;
    const count = wholeCharacters(ids.subarray(at, at + LONGEST), tokenizer);
    const own = ids.subarray(at, at + Math.max(1, count));
    const text = count > 0 ? tokenizer.decode(own) : tokenText(own[0]!, tokenizer);
    own.forEach((id, i) =>
      tokens.push({ id, text: i > 0 ? "" : id === tokenizer.endOfDocument ? "∎" : text })
    );
  }
  return tokens;
}

/** The fewest leading tokens that form complete characters; 0 if none do. */
function wholeCharacters(ids: Int32Array, tokenizer: Tokenizer): number {
  for (let count = 1; count <= ids.length; count++) {
    if (isWhole(ids.subarray(0, count), tokenizer)) return count;
  }
  return 0;
}

/** Whether ids form complete characters. Looking for U+FFFD would mistake one that was written. */
function isWhole(ids: ArrayLike<number>, tokenizer: Tokenizer): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(tokenizer.bytesOf(ids)));
    return true;
  } catch {
    return false;
  }
}

function hexadecimal(ids: readonly number[], tokenizer: Tokenizer): string {
  const bytes = Array.from(tokenizer.bytesOf(ids), (byte) => byte.toString(16).padStart(2, "0"));
  return `⟨${bytes.join(" ")}⟩`;
}
