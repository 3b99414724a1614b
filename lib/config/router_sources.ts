/** The files that a router's code is in: the one that is named, and the local modules it imports. @module */

import { createHash } from "node:crypto";
import { dirname, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ConfigError } from "../errors.ts";
import { exists, onPath } from "../files.ts";

/** A router's code. */
export interface RouterSources {
  /** SHA-256 of the file; if it imports local modules, of their names and contents as well. */
  readonly sha256: string;
  /** SHA-256 of each local module that it imports, directly or not, by path. */
  readonly imports: ReadonlyMap<string, string>;
}

/** What precedes a specifier in static imports, re-exports and `import()`. */
const SPECIFIER = /\b(?:from|import)\s*\(?\s*["']([^"'\n]+)["']/g;

/** This library: a version of it is not part of a router. */
const LIBRARY = new URL("../../", import.meta.url).href;

/** The contents with which a process has loaded modules: it cannot load others under their names. */
const loaded = new Map<string, string>();

/**
 * Hashes a router's file and the local modules that it imports by a path. Not covered are modules
 * that an import map or a registry provides, and files that the code reads itself.
 *
 * @param file The file's absolute path.
 * @returns The hashes.
 * @throws {FileError} If a file cannot be read.
 */
export function routerSources(file: string): RouterSources {
  const imports = new Map<string, string>();
  const pending = [file];
  let own = "";
  for (let path; (path = pending.pop()) !== undefined;) {
    if (imports.has(path)) continue;
    const contents = onPath("load the router", path, () => Deno.readFileSync(path!));
    const sha256 = createHash("sha256").update(contents).digest("hex");
    if (path === file) own = sha256;
    imports.set(path, sha256);
    pending.push(...importsIn(new TextDecoder().decode(contents), path));
  }
  imports.delete(file);
  if (imports.size === 0) return { sha256: own, imports };
  // Relative names: a router that moves with its modules stays the same.
  const facts = [...imports].map(([path, sha256]) => [relative(dirname(file), path), sha256]);
  const sorted = facts.sort(([a = ""], [b = ""]) => a < b ? -1 : 1);
  const all = JSON.stringify([own, ...sorted]);
  return { sha256: createHash("sha256").update(all).digest("hex"), imports };
}

/**
 * Notes the modules that are about to be loaded. A process keeps a module as it first loaded it, so
 * one that has changed since cannot be loaded as it is now.
 *
 * @param file The router's file.
 * @param sources Its code.
 * @throws {ConfigError} If a module was loaded with other contents.
 */
export function requireUnchanged(file: string, { imports }: RouterSources): void {
  for (const [path, sha256] of imports) {
    const before = loaded.get(path) ?? sha256;
    loaded.set(path, before);
    if (before === sha256) continue;
    throw new ConfigError(
      `Cannot load the router ${file}: ${path}, which it imports, has changed since this process ` +
        `loaded it; start the process again`,
    );
  }
}

/** Lists the local files that a module imports. A name in a comment may be of none. */
function importsIn(text: string, path: string): string[] {
  const base = pathToFileURL(path);
  return [...text.matchAll(SPECIFIER)]
    .filter(([, name = ""]) => /^(\.{0,2}\/|file:)/.test(name))
    .map(([, name]) => new URL(name!, base))
    .filter(({ href }) => href !== `${LIBRARY}mod.ts` && !href.startsWith(`${LIBRARY}lib/`))
    .map(({ href }) => fileURLToPath(href))
    .filter((file) => file !== path && exists(file));
}
