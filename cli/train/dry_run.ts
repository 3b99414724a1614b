/**
 * The report of `train --dry-run`.
 *
 * @module
 */

import { availableMemory } from "../../lib/machine.ts";
import type { Device } from "../../lib/autograd/device.ts";
import { withComputeType } from "../../lib/config/compute_type.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { configNotices } from "../../lib/config/notices.ts";
import { formulaFlops } from "../../lib/model/flops.ts";
import { routerOf } from "../../lib/moe/router_of.ts";
import type { MemoryEstimate } from "../../lib/train/memory_estimate.ts";
import { estimateMemory } from "../../lib/train/stage_memory.ts";
import { memoryLimit } from "../../lib/train/memory_limit.ts";
import { countParameters } from "../../lib/model/parameter_count.ts";
import { computeTypeLine } from "./compute_type.ts";
import { formatBytes, formatCount } from "../shared/format.ts";

/** What a dry run knows about the machine. */
export interface Surroundings {
  /** Bytes of the device's memory; default the machine's, if known. */
  readonly memory?: number;
  /** The device, if it could be opened: its kernels state their scratch memory. */
  readonly device?: Device | null;
  /** What the run would lack, as found by `problemsAhead()`. */
  readonly problems?: readonly string[];
}

/** What a memory table without a device lacks. */
const UNASKED = "Scratch       without the kernels' own, since no library here can be asked";

/**
 * Describes a run without starting it.
 *
 * @param config The full configuration.
 * @param surroundings The memory, the device, and what is missing.
 * @returns Configuration, parameters, FLOPs, memory and what would go wrong, without a final
 * newline.
 */
export function dryRunReport(
  config: TrainConfig,
  { memory = hostMemory(config), device = null, problems = [] }: Surroundings = {},
): string {
  return [
    JSON.stringify(config, null, 2),
    [...runSize(config), computeTypeLine(config, device?.info() ?? null)].join("\n"),
    memoryTable(device === null ? config : withComputeType(config, device.info()), memory, device),
    ...configNotices(config),
    ...(problems.length === 0
      ? []
      : [`As things are, the run would be refused:\n  - ${problems.join("\n  - ")}`]),
  ].join("\n\n");
}

/**
 * Describes a model and its work in a few lines.
 *
 * @param config The full configuration.
 * @returns The lines.
 */
export function runSize({ model, moe, data, steps }: TrainConfig): string[] {
  const parameters = countParameters(model, moe);
  const perSequence = formulaFlops(model, moe, data.sequence);
  const tokens = data.batch * data.sequence;
  return [
    `Parameters  ${formatCount(parameters.total)} total, ${formatCount(parameters.active)} active`,
    `FLOPs       ${formatCount(perSequence / data.sequence)} per token, ` +
    `${formatCount(perSequence)} per sequence, ${formatCount(perSequence * data.batch)} per step`,
    `Tokens      ${formatCount(tokens)} per step (${data.batch} x ${data.sequence}` +
    `${data.micro_batch === data.batch ? "" : `, by micro-batches of ${data.micro_batch}`}), ` +
    `${formatCount(tokens * steps)} in ${steps} steps`,
  ];
}

function memoryTable(config: TrainConfig, memory: number, device: Device | null): string {
  const named = (config.memory.limit_gib ?? 0) * 2 ** 30;
  const limit = memoryLimit(config, Math.max(memory, named));
  const { dense, sparse } = estimateMemory(config, { limit, ...device === null ? {} : { device } });
  const columns: [string, MemoryEstimate][] =
    dense.rows > sparse.rows || !routerOf(config.moe).exact
      ? [["dense stage", dense], ["sparse stage", sparse]]
      : [["all stages", sparse]];
  const row = (label: string, cell: (estimate: MemoryEstimate) => string): string =>
    `  ${label.padEnd(14)}${columns.map(([, each]) => cell(each).padStart(14)).join("")}`;
  return [
    `Memory        ${"".padEnd(2)}${columns.map(([name]) => name.padStart(14)).join("")}`,
    row("routed rows", (each) => formatCount(each.rows)),
    row("kept rows", (each) => formatCount(each.kept_rows)),
    row("weights", (each) => formatBytes(each.weights)),
    ...(sparse.copies > 0 ? [row("bf16 copies", (each) => formatBytes(each.copies))] : []),
    row("gradients", (each) => formatBytes(each.gradients)),
    row("moments", (each) => formatBytes(each.moments)),
    row("activations", (each) => formatBytes(each.activations)),
    row("scratch", (each) => formatBytes(each.scratch)),
    row("total", (each) => formatBytes(each.total)),
    ...(device === null ? [UNASKED] : []),
    ...(named > memory
      ? [
        `Limit         ${formatBytes(named)}: the machine grants ${formatBytes(memory)}, the run ` +
        `would be refused`,
      ]
      : limitLines(limit, dense)),
  ].join("\n");
}

/** Says what the limit means for the run. */
function limitLines(limit: number, { rows, kept_rows, total }: MemoryEstimate): string[] {
  if (limit === Infinity) return [];
  const within = `Limit         ${formatBytes(limit)} of device memory`;
  if (total > limit) return [`${within}: too little, the run would be refused`];
  if (kept_rows >= rows) return [within];
  const again = Math.round(100 * (1 - kept_rows / rows));
  return [`${within}: ${again} % of the dense stage's pre-activations are recomputed`];
}

/** Bytes of the machine's memory; a GPU's is unknown until it is opened. */
function hostMemory({ device }: TrainConfig): number {
  return device === "cuda" ? Infinity : availableMemory();
}
