/** What counts mean for the time that a call can take. @module */

import type { Counts, KernelCounts, SiteCounts, Space } from "./counting_device.ts";
import type { Operation } from "./operation.ts";

/** Bytes of a sector, the unit of traffic between a multiprocessor, L2 and memory. */
const SECTOR = 32;

/** The most that a count may be, as a multiple of the least possible. */
export const TARGETS = { bytes: 1.15, sectors: 1.05, banks: 1 } as const;

/** Instructions with a smaller share of a call's sectors, or of a kernel's passes, are left out. */
const LEAST_SHARE = 0.05;

/** An instruction that takes more of memory than it must. */
export interface Waste {
  /** The kernel. */
  readonly kernel: string;
  /** Its line, and that of the function it is inlined into. */
  readonly place: string;
  /** The memory, and whether it is written. */
  readonly space: Space;
  readonly write: boolean;
  /** Bytes of a lane. */
  readonly width: number;
  /** Sectors or passes as a multiple of the least possible. */
  readonly ratio: number;
  /** Its share of all sectors, or of the kernel's passes. */
  readonly share: number;
}

/** A kernel of a call. */
export interface KernelSummary {
  readonly name: string;
  readonly launches: number;
  readonly blocks: number;
  /** Bytes of the sectors that it reads and writes, each once per launch. */
  readonly moved: number;
  /** Bytes of the sectors that its warps ask for. */
  readonly requested: number;
  /** Those sectors as a multiple of the fewest that hold the same bytes; null if there are none. */
  readonly sectors: number | null;
  /** Passes at the banks of shared memory as a multiple of the fewest; null if there are none. */
  readonly banks: number | null;
  /** Floating-point operations of tensor cores. */
  readonly operations: number;
}

/** A call's counts against the least possible. */
export interface Summary {
  readonly group: string;
  readonly name: string;
  readonly bound: Operation["bound"];
  /** Bytes that it must move. */
  readonly minimum: number;
  /** Sums over its kernels. */
  readonly moved: number;
  readonly requested: number;
  readonly sectors: number | null;
  readonly banks: number | null;
  readonly operations: number;
  /** Operations that the formula counts; absent if tensor cores are not to do them. */
  readonly formula?: number;
  /** The row of the GPU's log. */
  readonly timed?: string;
  readonly kernels: readonly KernelSummary[];
  /** Where it exceeds {@linkcode TARGETS}, the largest first. */
  readonly wastes: readonly Waste[];
}

/**
 * Sums the counts of a call.
 *
 * @param operation The call.
 * @param counts What it did.
 * @returns The summary.
 */
export function summarize(operation: Operation, counts: Counts): Summary {
  const sites = counts.kernels.flatMap((kernel) => kernel.sites);
  const kernels = merged(counts.kernels).map(summarizeKernel);
  const sum = (of: (kernel: KernelSummary) => number) =>
    kernels.reduce((total, kernel) => total + of(kernel), 0);
  const { group, name, bound, minimum, operations: formula, timed } = operation;
  return {
    ...{ group, name, bound, minimum },
    // A copy reads and writes.
    moved: sum((kernel) => kernel.moved) + 2 * counts.copied,
    requested: sum((kernel) => kernel.requested) + 2 * counts.copied,
    sectors: ratioOf(sites.filter(isGlobal)),
    banks: ratioOf(sites.filter((site) => !isGlobal(site))),
    operations: sum((kernel) => kernel.operations),
    ...formula === undefined ? {} : { formula },
    ...timed === undefined ? {} : { timed },
    kernels,
    wastes: counts.kernels.flatMap((kernel) => wastesOf(kernel, sites)),
  };
}

/** Instances of one template under its name. */
function merged(kernels: readonly KernelCounts[]): KernelCounts[] {
  const byName = Map.groupBy(kernels, ({ name }) => name);
  return [...byName.values()].map((same) => ({
    name: same[0]!.name,
    launches: total(same, (kernel) => kernel.launches),
    blocks: total(same, (kernel) => kernel.blocks),
    operations: total(same, (kernel) => kernel.operations),
    distinctRead: total(same, (kernel) => kernel.distinctRead),
    distinctWritten: total(same, (kernel) => kernel.distinctWritten),
    sites: same.flatMap((kernel) => kernel.sites),
  }));
}

function summarizeKernel(kernel: KernelCounts): KernelSummary {
  const { name, launches, blocks, operations, sites, distinctRead, distinctWritten } = kernel;
  const ofGlobal = sites.filter(isGlobal);
  return {
    ...{ name, launches, blocks, operations },
    moved: SECTOR * (distinctRead + distinctWritten),
    requested: SECTOR * total(ofGlobal, (site) => site.units),
    sectors: ratioOf(ofGlobal),
    banks: ratioOf(sites.filter((site) => !isGlobal(site))),
  };
}

function wastesOf(kernel: KernelCounts, all: readonly SiteCounts[]): Waste[] {
  const ownPasses = total(kernel.sites.filter((site) => !isGlobal(site)), (site) => site.units);
  const allSectors = total(all.filter(isGlobal), (site) => site.units);
  return kernel.sites.flatMap((site) => {
    const ratio = site.units / site.ideal;
    const share = site.units / (isGlobal(site) ? allSectors : ownPasses);
    const most = isGlobal(site) ? TARGETS.sectors : TARGETS.banks;
    if (ratio <= most || share < LEAST_SHARE) return [];
    const { space, write, width, places } = site;
    return [{
      ...{ kernel: kernel.name, space, write, width, ratio, share },
      place: places.map(({ line }) => line).join(" in ") || "boxes",
    }];
  }).sort((a, b) => b.share - a.share);
}

function isGlobal({ space }: SiteCounts): boolean {
  return space === "global";
}

function total<T>(of: readonly T[], value: (each: T) => number): number {
  return of.reduce((sum, each) => sum + value(each), 0);
}

function ratioOf(sites: readonly SiteCounts[]): number | null {
  if (sites.length === 0) return null;
  return total(sites, (site) => site.units) / total(sites, (site) => site.ideal);
}
