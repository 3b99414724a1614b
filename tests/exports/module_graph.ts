/** The imports between a program's modules, as Deno sees them. @module */

import { assertEquals } from "@std/assert";
import { ROOT, runDeno } from "./deno_command.ts";

/** A module and its imports, including types and literal dynamic imports. */
export interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly specifier: string;
    /** Absent if only types are imported. */
    readonly code?: unknown;
    readonly isDynamic?: boolean;
  }[];
}

/** The checkout's modules that a module imports, as paths below the root. */
export type Imports = ReadonlyMap<string, readonly string[]>;

/**
 * All modules that importing a file loads.
 *
 * @param path The file.
 * @returns The modules, including those of packages.
 */
export async function graphOf(path: string): Promise<Module[]> {
  const { code, stdout, stderr } = await runDeno(ROOT, "info", "--json", path);
  assertEquals(code, 0, stderr);
  return (JSON.parse(stdout) as { modules: Module[] }).modules;
}

/**
 * The imports among the files of some folders.
 *
 * @param folders The folders and files, below the root.
 * @returns Each file's imports, with and without type imports; files elsewhere are left out.
 */
export async function importsAmong(
  folders: readonly string[],
): Promise<{ all: Imports; values: Imports }> {
  const files = folders.flatMap((folder) => [...sourcesIn(folder)]);
  const entry = await Deno.makeTempFile({ dir: `${ROOT}tests/exports`, suffix: ".ts" });
  try {
    await Deno.writeTextFile(entry, files.map((file) => `import "../../${file}";\n`).join(""));
    const modules = await graphOf(entry);
    const root = new URL(`file://${ROOT}`).href;
    const among = (typesToo: boolean): Imports => {
      const byPath = new Map(files.map((file): [string, string[]] => [file, []]));
      for (const { specifier, dependencies = [] } of modules) {
        const imports = byPath.get(specifier.slice(root.length));
        if (imports === undefined) continue;
        for (const dependency of dependencies) {
          if (!typesToo && dependency.code === undefined) continue;
          const target = URL.parse(dependency.specifier, specifier)?.href.slice(root.length);
          if (target !== undefined && byPath.has(target)) imports.push(target);
        }
      }
      return byPath;
    };
    return { all: among(true), values: among(false) };
  } finally {
    await Deno.remove(entry);
  }
}

function* sourcesIn(path: string): Generator<string> {
  if (path.endsWith(".ts")) return yield path;
  for (const { name, isDirectory } of Deno.readDirSync(`${ROOT}${path}`)) {
    if (isDirectory || name.endsWith(".ts")) yield* sourcesIn(`${path}/${name}`);
  }
}

/**
 * Looks for an import cycle.
 *
 * @param imports The imports.
 * @returns The files of a cycle, in order; null if there is none.
 */
export function findCircle(imports: Imports): string[] | null {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): string[] | null => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return null;
    path.push(file);
    for (const target of imports.get(file) ?? []) {
      const circle = visit(target);
      if (circle !== null) return circle;
    }
    path.pop();
    done.add(file);
    return null;
  };
  for (const file of imports.keys()) {
    const circle = visit(file);
    if (circle !== null) return circle;
  }
  return null;
}
