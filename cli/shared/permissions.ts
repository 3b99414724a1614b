/**
 * Asks for all of a command's permissions at once, before any work.
 *
 * @module
 */

import { relative } from "node:path";
import { libraryPaths } from "../../lib/ffi/find_library.ts";
import { isGranted } from "../../lib/permissions.ts";

/** What a command is about to access. */
export interface Needs {
  /** Files and folders it reads. */
  readonly read?: readonly string[];
  /** Folders it writes. */
  readonly write?: readonly string[];
  /** Where it listens, as `--allow-net` takes it. */
  readonly net?: string;
  /** The kind of device whose kernel library it opens. */
  readonly device?: "auto" | "cpu" | "cuda";
  /** The library's file, if the user names one. */
  readonly library?: string;
}

/** Returns the state of a permission, either as it is or after asking the user. */
type Ask = (descriptor: Deno.PermissionDescriptor) => Promise<Deno.PermissionStatus>;

/**
 * Requests what a command needs; on a terminal, Deno asks the user.
 *
 * @param command What the command does, for the error.
 * @param needs Absolute paths, and the device.
 * @param base The folder that paths are shown relative to.
 * @throws {Deno.errors.NotCapable} If anything is refused; names every flag to add.
 */
export async function requirePermissions(
  command: string,
  needs: Needs,
  base: string,
): Promise<void> {
  const flags = await refusedFlags(needs, base, (it) => Deno.permissions.request(it));
  if (flags.length === 0) return;
  throw new Deno.errors.NotCapable(
    `Cannot ${command} without permission: add ${flags.join(" ")} to deno run ` +
      `(docs/permissions.md lists them all)`,
  );
}

/**
 * Lists what a command lacks, without asking.
 *
 * @param needs Absolute paths, and the device.
 * @param base The folder that paths are shown relative to.
 * @returns The flags to add, as {@linkcode requirePermissions} names them.
 */
export function missingFlags(needs: Needs, base: string): Promise<string[]> {
  return refusedFlags(needs, base, (it) => Deno.permissions.query(it));
}

async function refusedFlags(needs: Needs, base: string, ask: Ask): Promise<string[]> {
  const library = needs.device && await refusedLibrary(needs.device, needs.library, ask);
  const flags = library ? [`--allow-ffi=${library}`] : [];
  for (const name of ["read", "write"] as const) {
    const refused: string[] = [];
    for (const path of needs[name] ?? []) {
      if ((await ask({ name, path })).state !== "granted") refused.push(shown(path, base));
    }
    if (refused.length > 0) flags.push(`--allow-${name}=${refused.join(",")}`);
  }
  const { net: host } = needs;
  if (host !== undefined && (await ask({ name: "net", host })).state !== "granted") {
    flags.push(`--allow-net=${host}`);
  }
  return flags;
}

/** The library to ask permission for; undefined if one may be opened already. */
async function refusedLibrary(
  device: "auto" | "cpu" | "cuda",
  named: string | undefined,
  ask: Ask,
): Promise<string | undefined> {
  const paths = libraryPaths(device, named);
  if (paths.length === 0 || paths.some((path) => isGranted({ name: "ffi", path }))) {
    return undefined;
  }
  const path = paths.at(-1)!;
  return (await ask({ name: "ffi", path })).state === "granted" ? undefined : path;
}

/** A path as the user would write it. */
function shown(path: string, base: string): string {
  const short = relative(base, path);
  return short === "" ? "." : short.startsWith("..") ? path : short;
}
