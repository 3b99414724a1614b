/** The kernels for tensor cores with one synchronisation removed, which must be noticed. @module */

import type { Mutant } from "../../kernels/tools/build_cuda.ts";
import { type CudaSource, cudaSources, withLine } from "./cuda_sources.ts";

/** A call that orders threads, copies or products. */
export interface Synchronisation {
  /** The source, in `kernels/cuda`. */
  readonly file: string;
  /** Its line, from 1. */
  readonly line: number;
  /** The call. */
  readonly text: string;
  /** How many calls of the same text the file has up to this one. */
  readonly nth: number;
}

/** Barriers of the block or the warp, which other kernels have as well. */
const BARRIERS = ["__syncthreads", "__syncwarp"];

/** What Hopper's instructions are ordered by, and the functions around it. */
const HOPPER = [
  ...["barrier_init_fence", "proxy_fence", "named_barrier_sync", "named_barrier_arrive"],
  ...["wgmma_fence", "wgmma_commit", "wgmma_wait<\\d>", "wait_stores_read<\\w+>", "commit_stores"],
  ...["wait", "wait_copies", "arrive", "arrive_copies", "arrive_expect"],
  ...["settle", "settle<\\d>", "release", "free", "await", "take_turn", "give_turn"],
];

/** Calls of one line, as statements. */
function callsOf(names: readonly string[]): RegExp {
  return new RegExp(`(?<![\\w.>])(${names.join("|")})\\((?:[^()]|\\([^()]*\\))*\\);`, "g");
}

const HOPPER_CALL = callsOf(HOPPER);
const CALL = callsOf([...BARRIERS, ...HOPPER]);

/**
 * Whether a source is part of the kernels on wgmma and bulk copies. The instructions themselves, in
 * `device`, are not, nor is the host's code.
 */
export function isForTensorCores({ file, lines }: CudaSource): boolean {
  return !/^(device|runtime)\//.test(file) &&
    lines.some((line) => line.match(HOPPER_CALL) !== null);
}

/** Every such call in the kernels for tensor cores, ordered by file and line. */
export function synchronisations(): Synchronisation[] {
  return cudaSources().filter(isForTensorCores).flatMap(({ file, lines }) => {
    const found: Synchronisation[] = [];
    lines.forEach((line, i) => {
      const [text, second] = line.match(CALL) ?? [];
      if (second !== undefined) throw new Error(`${file}:${i + 1} has two calls; divide the line`);
      if (text === undefined) return;
      const nth = found.filter((each) => each.text === text).length + 1;
      found.push({ file, line: i + 1, text, nth });
    });
    return found;
  });
}

/** The kernels without one call; what it reads stays in use, and what it counts is counted. */
export function without({ file, line, text }: Synchronisation): Mutant {
  const counted = text.match(/\b\w+\+\+/)?.[0];
  const rest = counted === undefined ? "" : ` ${counted};`;
  return withLine(file, line, (whole) => {
    if (counted !== undefined && whole.trim() !== text) {
      throw new Error(`${file}:${line} counts under a condition; count in a statement of its own`);
    }
    return whole.replace(text, `while (false) { ${text.replaceAll("++", "")} }${rest}`);
  });
}

/** Calls that may go: nothing is wrong without them. */
interface Equivalent extends Pick<Synchronisation, "file" | "text"> {
  /** Which of the calls of this text. */
  readonly nth: readonly number[];
  /** Why they are there, and why nothing needs them. */
  readonly reason: string;
}

const TURNS =
  "turns put the softmax of one warpgroup beside the products of the other; they share " +
  "no results, and wait for keys and values where they use them";

const EARLIER =
  "the slot is then freed a step later, or not at all after the last tile; who owes a " +
  "slot skips at most one block before settling";

const BETWEEN_TILES =
  "for tiles without a depth, before which no step has settled: the slot of the " +
  "last tile's chunk is then freed a chunk later";

const AT_EXIT =
  "every copy has arrived at a barrier that consumers wait for; it is there because " +
  "PTX does not say what becomes of copies whose thread exits";

const EQUIVALENT: readonly Equivalent[] = [
  {
    file: "attention/flash_forward_consumer.h",
    text: "named_barrier_sync(kFirstBarrier + group, kConsumers * kWarpgroup);",
    ...{ nth: [1], reason: TURNS },
  },
  {
    file: "attention/flash_forward_consumer.h",
    text: "take_turn();",
    ...{ nth: [1], reason: TURNS },
  },
  {
    file: "attention/flash_gradient_consumer.h",
    text: "settle();",
    ...{ nth: [2, 3, 4], reason: EARLIER },
  },
  {
    file: "gemm/grouped_consumer.h",
    text: "settle<0>();",
    ...{ nth: [3], reason: BETWEEN_TILES },
  },
  { file: "gemm/grouped_producer.h", text: "wait_copies();", nth: [1], reason: AT_EXIT },
];

/** Why a call may go; undefined if it may not. */
export function reasonToGo({ file, text, nth }: Synchronisation): string | undefined {
  const found = EQUIVALENT.find((each) =>
    each.file === file && each.text === text && each.nth.includes(nth)
  );
  return found?.reason;
}
