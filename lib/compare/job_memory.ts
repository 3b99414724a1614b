/**
 * Divides memory among runs that train at the same time.
 *
 * @module
 */

import type { TrainConfig } from "../config/config.ts";
import { ConfigError } from "../errors.ts";
import { checkMemory, memoryLimit, memoryText } from "../train/memory_limit.ts";
import { estimateMemory } from "../train/stage_memory.ts";

const GIB = 2 ** 30;
/** Memory of a process besides device memory: runtime, program, text. */
const PROCESS_BYTES = 256 * 2 ** 20;

/**
 * Divides the memory among runs that train at the same time.
 *
 * @param runs The configurations with their labels.
 * @param jobs How many train at once.
 * @param memory Bytes of the machine's memory.
 * @param budget Bytes for all of them together; null: 85 % of the memory.
 * @returns GiB of device memory for one run; null if the runs need no limit of their own.
 * @throws {ConfigError} If a run does not fit; the message names the number of jobs that would.
 */
export function divideMemory(
  runs: readonly { readonly label: string; readonly config: TrainConfig }[],
  jobs: number,
  memory: number,
  budget: number | null = null,
): number | null {
  let limited = false;
  const shareAt = (jobs: number, config: TrainConfig): number => {
    const all = budget ?? memoryLimit({ ...config, memory: NO_LIMIT }, memory);
    const named = config.memory.limit_gib;
    const share = all / jobs - PROCESS_BYTES;
    return named === null ? share : Math.min(share, named * GIB);
  };
  let smallest = Infinity;
  for (const { label, config } of runs) {
    const share = shareAt(jobs, config);
    smallest = Math.min(smallest, share);
    const fits = (jobs: number): boolean =>
      needed(config, shareAt(jobs, config)) <= shareAt(jobs, config);
    if (!fits(jobs)) {
      const fewer = mostThatFit(jobs, fits);
      if (fewer === 0) refuse(label, config, shareAt(1, config));
      const each = share > 0
        ? `each may take ${memoryText(share)} of memory, and ${label} needs more`
        : `their processes would take ${memoryText(jobs * PROCESS_BYTES)} alone`;
      throw new ConfigError(
        `Cannot run ${jobs} jobs at once: ${each}; --jobs ${fewer} would fit, or raise --memory`,
      );
    }
    limited ||= needed(config, Infinity) > share;
  }
  return limited ? Math.floor(smallest / GIB * 1000) / 1000 : null;
}

/** Throws for a run that does not even fit alone. */
function refuse(label: string, config: TrainConfig, share: number): void {
  if (share > 0) return checkMemory(config, share);
  throw new ConfigError(
    `Cannot run ${label} within ${memoryText(share + PROCESS_BYTES)} of memory: a process takes ` +
      `${memoryText(PROCESS_BYTES)} beside its model; raise --memory`,
  );
}

/** Most jobs that fit, fewer than `jobs`, which do not: a share shrinks with their number. */
function mostThatFit(jobs: number, fits: (jobs: number) => boolean): number {
  let [fitting, tooMany] = [0, jobs];
  while (tooMany - fitting > 1) {
    const middle = Math.floor((fitting + tooMany) / 2);
    if (fits(middle)) fitting = middle;
    else tooMany = middle;
  }
  return fitting;
}

const NO_LIMIT = { limit_gib: null, recompute: "auto" } as const;

function needed(config: TrainConfig, limit: number): number {
  if (limit <= 0) return Infinity;
  const { dense, sparse } = estimateMemory(config, limit === Infinity ? {} : { limit });
  return Math.max(dense.total, sparse.total);
}
