/** Creates the folder of a run. @module */

import { dirname } from "node:path";
import { requireOptions, requirePath, shown } from "../arguments.ts";
import type { TrainConfig } from "../config/config.ts";
import { parseConfig } from "../config/parse_config.ts";
import { exists, onPath } from "../files.ts";
import { routerLabel, routerOf } from "../moe/router_of.ts";

/** Options of {@linkcode RunDirectory.create}. */
export interface CreateRunOptions {
  /** Folder that holds `runs/`, if the configuration names no directory; default `.`. */
  readonly parent?: string;
  /** The date in the directory's name; default now. */
  readonly now?: Date;
}

/**
 * Refuses options from which no folder can be named.
 *
 * @param options Where the folder goes, and the date in its name.
 * @throws {TypeError} If an option is invalid.
 */
export function requireFolderOptions(options: CreateRunOptions): void {
  const operation = "make the run directory";
  requireOptions(operation, options, { parent: true, now: true });
  const { parent = ".", now = new Date() } = options;
  requirePath(operation, "parent", parent);
  if (now instanceof Date && !Number.isNaN(now.getTime())) return;
  throw new TypeError(`Cannot ${operation}: now is ${shown(now)}, expected a date`);
}

/** Creates a folder with a generated name; `made` lists all folders created, innermost first. */
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
  // Runs of a sweep may start within the same second.
  for (let index = 1;; index++) {
    const path = index === 1 ? base : `${base}-${index}`;
    if (claim(path)) return { path, made: [path, ...made] };
  }
}

/** Sections of a configuration that affect what is learnt, and so distinguish runs. */
const SECTIONS = ["model", "moe", "data", "optimizer", "schedule"] as const;
/** Settings that the rest of the name already states, or that do not affect what is learnt. */
const UNNAMED = ["router", "experts", "active", "granularity", "micro_batch", "cache"];
/** The most settings a name may hold. */
const NAMED = 3;

/** The settings in which a configuration differs from its preset, such as `lr0.003`. */
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

/** Rounds numbers that are not integers to three digits. */
function shortened(value: unknown): unknown {
  return typeof value !== "number" || Number.isInteger(value)
    ? value
    : Number(value.toPrecision(3));
}

/** Creates a folder unless it exists; of two processes only one succeeds. */
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

/** Creates a folder and its parents; returns those that were missing, innermost first. */
export function makeFolders(path: string): string[] {
  return onPath("make the run directory", path, () => {
    const missing: string[] = [];
    for (let at = path; isMissing(at); at = dirname(at)) missing.push(at);
    Deno.mkdirSync(path, { recursive: true });
    return missing;
  });
}

/** Whether a folder is missing. One that Deno may not read is not this program's to create. */
function isMissing(path: string): boolean {
  try {
    return !exists(path);
  } catch (error) {
    if ((error as Error).cause instanceof Deno.errors.NotCapable) return false;
    throw error;
  }
}

/** Removes a folder unless something was put into it in the meantime. */
export function removeIfEmpty(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // It is not empty, or gone.
  }
}
