/**
 * How much of the machine this process may use: control groups, of which containers are made, grant
 * less memory and less time of the processors than there is.
 *
 * @module
 */

import { smallest } from "./extremes.ts";
import { isGranted } from "./permissions.ts";

/** Where control groups are mounted; `unified` is where both versions are in use. */
const MOUNT = "sys/fs/cgroup";

/** A control group's folder, and the version whose files it has. */
interface Group {
  readonly folder: string;
  readonly version: 1 | 2;
}

/**
 * Threads that can work at once.
 *
 * @param root The folder that stands for `/`, with a slash at its end.
 * @returns The processors this process may use, or fewer where it is granted less of their time; at
 * least 1.
 */
export function availableCores(root = "/"): number {
  const quota = smallest(groupsOf(root, "cpu").map(coresGranted));
  return Math.max(1, Math.min(navigator.hardwareConcurrency, Math.floor(quota)));
}

/**
 * Memory that the process may use.
 *
 * @param root The folder that stands for `/`, with a slash at its end.
 * @returns Bytes: the machine's, or less where a control group grants less; Infinity where the program
 * may ask neither.
 */
export function availableMemory(root = "/"): number {
  const mayAsk = isGranted({ name: "sys", kind: "systemMemoryInfo" });
  const physical = mayAsk ? Deno.systemMemoryInfo().total : Infinity;
  return Math.min(physical, smallest(groupsOf(root, "memory").map(bytesGranted)));
}

function coresGranted({ folder, version }: Group): number {
  // "max" is no number, and -1 no limit.
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
 * The groups that this process is in, those above them included: each of them limits it. A container
 * may show the file system of its own groups and the names of the machine's; then the mount is all
 * there is to look at.
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

/** The mount, and below it the folders down to the process's own group. */
function foldersOf(root: string, mount: string, controller: string): string[] {
  const path = groupPath(root, mount, controller);
  const names = path.split("/").filter((name) => name !== "");
  // A process outside of the groups that it sees.
  if (names.includes("..")) return [mount];
  return [mount, ...names.map((_, depth) => `${mount}/${names.slice(0, depth + 1).join("/")}`)];
}

/** The process's group below a mount, which may show a part of all groups only. */
function groupPath(root: string, mount: string, controller: string): string {
  for (const line of readText(`${root}proc/self/cgroup`).split("\n")) {
    // Like `4:memory:/a/b` and `0::/a/b`.
    const [, names = "", path = "/"] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (line === "" || !names.split(",").includes(controller)) continue;
    const shown = mountedGroup(root, mount);
    return path === shown || path.startsWith(`${shown}/`) ? path.slice(shown.length) : path;
  }
  return "/";
}

/** The group that a mount shows as its root; empty for all groups. */
function mountedGroup(root: string, mount: string): string {
  for (const line of readText(`${root}proc/self/mountinfo`).split("\n")) {
    const [, , , group = "", point = ""] = line.split(" ");
    if (point.slice(1) === mount.slice(root.length)) return group === "/" ? "" : group;
  }
  return "";
}

/** A small file of the system; empty where it is missing or may not be read. */
function readText(path: string): string {
  if (!isGranted({ name: "read", path })) return "";
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return "";
  }
}
