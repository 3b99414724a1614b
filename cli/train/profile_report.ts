/**
 * Where a run's steps spent their time, as text.
 *
 * @module
 */

import type { ProfileEntry, ProfileSummary } from "../../lib/train/profile.ts";

/** Kernels below this share of a step are summed up in one line per phase. */
const SMALLEST_SHARE = 0.002;

/**
 * Formats a profile as a table.
 *
 * @param summary What was measured; null if the run was too short.
 * @returns The table, without a final newline.
 */
export function profileReport(summary: ProfileSummary | null): string {
  if (summary === null) return "Profile     the run was too short for one";
  const { steps, ms, entries, hostShare } = summary;
  return [
    `Profile of ${steps} steps, ${ms.toFixed(2)} ms each`,
    row("phase", "kernel", "calls", "ms", "share"),
    ...withoutSmall(entries).map((entry) =>
      row(
        entry.phase,
        entry.kernel ?? "(TypeScript and calls)",
        entry.calls === 0 ? "" : String(Math.round(entry.calls)),
        entry.ms.toFixed(3),
        percent(entry.share),
      )
    ),
    row("all", "(TypeScript and calls)", "", (ms * hostShare).toFixed(3), percent(hostShare)),
  ].join("\n");
}

function withoutSmall(entries: readonly ProfileEntry[]): ProfileEntry[] {
  const phases = [...new Set(entries.map(({ phase }) => phase))];
  return phases.flatMap((phase) => {
    const all = entries.filter((entry) => entry.phase === phase);
    const isSmall = (entry: ProfileEntry) => entry.kernel !== null && entry.share < SMALLEST_SHARE;
    const small = all.filter(isSmall);
    const kept = all.filter((entry) => !isSmall(entry));
    if (small.length < 2) return all;
    return [...kept, {
      phase,
      kernel: `(${small.length} others)`,
      calls: small.reduce((sum, { calls }) => sum + calls, 0),
      ms: small.reduce((sum, entry) => sum + entry.ms, 0),
      share: small.reduce((sum, { share }) => sum + share, 0),
    }];
  });
}

function row(phase: string, kernel: string, calls: string, ms: string, share: string): string {
  return `  ${phase.padEnd(10)}${kernel.padEnd(28)}${calls.padStart(6)}${ms.padStart(12)}${
    share.padStart(8)
  }`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
