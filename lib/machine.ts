/**
 * How much of the machine this process may use. Control groups, which containers are built on, can
 * grant less memory and processor time than the machine has.
 *
 * @module
 */

import { smallest } from "./extremes.ts";
import { isGranted } from "./permissions.ts";

/** Mount point of control groups. Where both versions are in use, version 2 is in `unified`. */
const MOUNT = "sys/fs/cgroup";

/** A control group's folder, and the cgroup version of its files. */
interface Group {
  readonly folder: string;
  readonly version: 1 | 2;
}

/**
 * Counts the threads that can run at once.
 *
 * @param root The folder taken for `/`, with a trailing slash.
 * @returns The processors this process may use, or fewer under a CPU quota; at least 1.
 */
export function availableCores(root = "/"): number {
  const quota = smallest(groupsOf(root, "cpu").map(coresGranted));
  return Math.max(1, Math.min(navigator.hardwareConcurrency, Math.floor(quota)));
}

/**
 * Returns the memory that this process may use.
 *
 * @param root The folder taken for `/`, with a trailing slash.
 * @returns Bytes: the machine's memory, or a control group's limit if lower; Infinity if neither
 * may be read.
 */
export function availableMemory(root = "/"): number {
  const mayAsk = isGranted({ name: "sys", kind: "systemMemoryInfo" });
  const physical = mayAsk ? Deno.systemMemoryInfo().total : Infinity;
  return Math.min(physical, smallest(groupsOf(root, "memory").map(bytesGranted)));
}

function coresGranted({ folder, version }: Group): number {
  // No limit is "max" in version 2 and -1 in version 1.
  const [quota = "", period = ""] = version === 2
    ? readText(`${folder}/cpu.max`).split(" ")
    : ["quota", "period"].map((name) => readText(`${folder}/cpu.cfs_${name}_us`));
  const granted = positive(quota);
  return granted === Infinity ? Infinity : granted / positive(period);
}

function bytesGranted({ folder, version }: Group): number {
  return positive(readText(`${folder}/memory.${version === 2 ? "max" : "limit_in_bytes"}`));
}

function positive(text: string): number {
  const value = Number.parseInt(text, 10);
  return value > 0 ? value : Infinity;
}

/**
 * The groups of this process and their ancestors, all of which limit it. A container may mount only
 * its own group while `/proc` names groups of the host; then only the mount itself can be read.
 */
function groupsOf(root: string, controller: "cpu" | "memory"): Group[] {
  return [
    ...[`${root}${MOUNT}`, `${root}${MOUNT}/unified`].flatMap((mount) =>
      foldersOf(root, mount, "").map((folder): Group => ({ folder, version: 2 }))
    ),
    ...foldersOf(root, `${root}${MOUNT}/${controller}`, controller)
      .map((folder): Group => ({ folder, version: 1 })),
  ];
}

/** The mount, and the folders below it down to the process's own group. */
function foldersOf(root: string, mount: string, controller: string): string[] {
  const path = groupPath(root, mount, controller);
  const names = path.split("/").filter((name) => name !== "");
  // The process's group lies outside the mounted hierarchy.
  if (names.includes("..")) return [mount];
  return [mount, ...names.map((_, depth) => `${mount}/${names.slice(0, depth + 1).join("/")}`)];
}

/** The process's group relative to a mount, which may show only part of the hierarchy. */
function groupPath(root: string, mount: string, controller: string): string {
  for (const line of readText(`${root}proc/self/cgroup`).split("\n")) {
    // Lines look like `4:memory:/a/b` or `0::/a/b`.
    const [, names = "", path = "/"] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (line === "" || !names.split(",").includes(controller)) continue;
    const shown = mountedGroup(root, mount);
    return path === shown || path.startsWith(`${shown}/`) ? path.slice(shown.length) : path;
  }
  return "/";
}

/** The group that a mount shows as its root; empty if it shows the whole hierarchy. */
function mountedGroup(root: string, mount: string): string {
  for (const line of readText(`${root}proc/self/mountinfo`).split("\n")) {
    const [, , , group = "", point = ""] = line.split(" ");
    if (point.slice(1) === mount.slice(root.length)) return group === "/" ? "" : group;
  }
  return "";
}

/** Reads a small system file; empty if it is missing or may not be read. */
function readText(path: string): string {
  if (!isGranted({ name: "read", path })) return "";
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return "";
  }
}
