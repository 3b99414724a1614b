/** The kernels for tensor cores with one synchronisation removed, which must be noticed. @module */

import { fileURLToPath } from "node:url";
import type { Mutant } from "../../kernels/tools/build_cuda.ts";

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

/** Calls that may go: nothing is wrong without them. */
interface Equivalent extends Pick<Synchronisation, "file" | "text"> {
  /** Which of the calls of this text. */
  readonly nth: readonly number[];
  /** Why they are there, and why nothing needs them. */
  readonly reason: string;
}

const FOLDER = fileURLToPath(new URL("../../kernels/cuda/", import.meta.url));

/** The kernels on wgmma and bulk copies. */
export const TENSOR_CORE_FILES: readonly string[] = [
  ...["flash_forward.cu", "flash_forward.h", "flash_forward_consumer.h"].map(inAttention),
  ...["flash_gradient.cu", "flash_gradient.h", "flash_gradient_consumer.h"].map(inAttention),
  ...["consumer", "epilogues", "producer", "product"].map((name) => `gemm/grouped_${name}.h`),
];

function inAttention(name: string): string {
  return `attention/${name}`;
}

/** All that orders something: barriers, fences, waits and arrivals, and the functions around them. */
const CALLS = [
  ...["__syncthreads", "__syncwarp", "barrier_init_fence", "proxy_fence"],
  ...["wgmma_fence", "wgmma_commit", "wgmma_wait<\\d>", "wait_stores_read<\\w+>", "commit_stores"],
  ...["wait", "wait_copies", "arrive", "arrive_copies", "arrive_expect"],
  ...["settle", "settle<\\d>", "release", "free", "await", "take_turn", "give_turn"],
  ...["named_barrier_sync", "named_barrier_arrive"],
];
const CALL = new RegExp(`(?<![\\w.>])(${CALLS.join("|")})\\((?:[^()]|\\([^()]*\\))*\\);`);

const TURNS =
  "turns put the softmax of one warpgroup beside the products of the other; they share " +
  "no results, and wait for keys and values where they use them";

const EARLIER = "the slot is then freed a step later, or not at all after the last tile; no " +
  "consumer skips as many blocks in a row as the ring has slots";

const BY_THE_NEXT = "a tile with a depth has settled at its first step, one without at its first " +
  "chunk: the slot is then freed a chunk later";

const AT_EXIT =
  "every copy has arrived at a barrier that consumers wait for; it is there because " +
  "PTX does not say what becomes of copies whose thread exits";

/** The calls that may go. */
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
    ...{ nth: [3], reason: BY_THE_NEXT },
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

/** Every such call, ordered by file and line. */
export async function synchronisations(): Promise<Synchronisation[]> {
  const found: Synchronisation[] = [];
  for (const file of TENSOR_CORE_FILES) {
    const lines = (await Deno.readTextFile(FOLDER + file)).split("\n");
    lines.forEach((line, i) => {
      const text = line.match(CALL)?.[0];
      if (text === undefined) return;
      const before = found.filter((each) => each.file === file && each.text === text).length;
      found.push({ file, line: i + 1, text, nth: before + 1 });
    });
  }
  return found;
}

/** The kernels without one call; what it reads stays in use, and what it counts is counted. */
export async function without({ file, line, text }: Synchronisation): Promise<Mutant> {
  const lines = (await Deno.readTextFile(FOLDER + file)).split("\n");
  const counted = text.match(/\b\w+\+\+/)?.[0];
  const rest = counted === undefined ? "" : ` ${counted};`;
  const call = text.replaceAll("++", "");
  lines[line - 1] = lines[line - 1]!.replace(text, `while (false) { ${call} }${rest}`);
  return { name: `${file.replaceAll("/", "_")}_${line}`, files: { [file]: lines.join("\n") } };
}
