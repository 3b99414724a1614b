/** Making the folder of a run. @module */

import { dirname } from "node:path";
import { requireOptions, requirePath, shown } from "../arguments.ts";
import type { TrainConfig } from "../config/config.ts";
import { parseConfig } from "../config/parse_config.ts";
import { exists, onPath } from "../files.ts";
import { routerLabel, routerOf } from "../moe/router_of.ts";

/** What {@linkcode RunDirectory.create} needs besides the configuration. */
export interface CreateRunOptions {
  /** Folder that holds `runs/`, where the configuration names no directory; default `.`. */
  readonly parent?: string;
  /** The date for the name of the directory; default: now. */
  readonly now?: Date;
}

/**
 * Refuses what makes no name for a folder.
 *
 * @param options Where the folder shall be, and the date in its name.
 * @throws {TypeError} If it is none.
 */
export function requireFolderOptions(options: CreateRunOptions): void {
  const operation = "make the run directory";
  requireOptions(operation, options, { parent: true, now: true });
  const { parent = ".", now = new Date() } = options;
  requirePath(operation, "parent", parent);
  if (now instanceof Date && !Number.isNaN(now.getTime())) return;
  throw new TypeError(`Cannot ${operation}: now is ${shown(now)}, expected a date`);
}

/** The folder of a run without a name of its own, and all folders made for it, innermost first. */
export function newFolder(
  config: TrainConfig,
  { parent = ".", now = new Date() }: CreateRunOptions,
): { path: string; made: string[] } {
  const { preset, seed, moe } = config;
  const date = now.toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
  const { routed } = routerOf(moe);
  const experts = routed ? `-e${moe.experts}k${moe.active}g${moe.granularity}` : "";
  const made = makeFolders(`${parent}/runs`);
  const name = [
    preset,
    `${routerLabel(moe.router)}${experts}`,
    ...distinguishing(config),
    `s${seed}`,
  ].join("-");
  const base = `${parent}/runs/${date}-${name}`;
  // Runs that start within one second, as sweeps do.
  for (let index = 1;; index++) {
    const path = index === 1 ? base : `${base}-${index}`;
    if (claim(path)) return { path, made: [path, ...made] };
  }
}

/** Sections of a configuration that change what is learnt: runs are told apart by them. */
const SECTIONS = ["model", "moe", "data", "optimizer", "schedule"] as const;
/** What the rest of a name says, and what changes nothing that is learnt. */
const UNNAMED = ["router", "experts", "active", "granularity", "micro_batch", "cache"];
/** Most settings that a name holds. */
const NAMED = 3;

/** The settings in which a configuration differs from its preset, like `lr0.003`. */
function distinguishing(config: TrainConfig): string[] {
  const preset = parseConfig({ preset: config.preset });
  const differing = SECTIONS.flatMap((section) => {
    const usual: Readonly<Record<string, unknown>> = { ...preset[section] };
    return Object.entries(config[section]).filter(([key, value]) =>
      !UNNAMED.includes(key) && typeof value !== "object" && value !== usual[key]
    );
  });
  const steps = config.steps === preset.steps ? [] : [["steps", config.steps] as const];
  return [...steps, ...differing].slice(0, NAMED).map(([key, value]) =>
    `${key}${shortened(value)}`.replaceAll(/[^\w.-]/g, "")
  );
}

/** Whole numbers as they are, others in three digits. */
function shortened(value: unknown): unknown {
  return typeof value !== "number" || Number.isInteger(value)
    ? value
    : Number(value.toPrecision(3));
}

/** Makes a folder that is not there yet; of two processes only one succeeds. */
function claim(path: string): boolean {
  return onPath("make the run directory", path, () => {
    try {
      Deno.mkdirSync(path);
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return false;
      throw error;
    }
  });
}

/** Makes a folder and those above it; returns the ones that were not there, innermost first. */
export function makeFolders(path: string): string[] {
  return onPath("make the run directory", path, () => {
    const missing: string[] = [];
    for (let at = path; isMissing(at); at = dirname(at)) missing.push(at);
    Deno.mkdirSync(path, { recursive: true });
    return missing;
  });
}

/** A folder that may not be looked at is there, or is not this program's to make. */
function isMissing(path: string): boolean {
  try {
    return !exists(path);
  } catch (error) {
    if ((error as Error).cause instanceof Deno.errors.NotCapable) return false;
    throw error;
  }
}

/** A folder in which something was put meanwhile stays. */
export function removeIfEmpty(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // It is not empty, or gone.
  }
}
