/**
 * Finds the headers that a source includes, so that a change recompiles only what reads it.
 *
 * @module
 */

import { dirname, normalize } from "node:path";

/** Reads files once each and follows their includes. */
export class IncludeGraph {
  readonly #folders: readonly string[];
  readonly #direct = new Map<string, Promise<readonly string[]>>();

  /**
   * @param folders Where `#include "..."` is looked up after the including file's own folder.
   */
  constructor(folders: readonly string[]) {
    this.#folders = folders;
  }

  /**
   * Lists the headers that a source includes, directly or through another header.
   *
   * @param source The file.
   * @returns Their paths, sorted; headers of the system are left out.
   */
  async headersOf(source: string): Promise<string[]> {
    const found = new Set<string>();
    const open = [source];
    for (let file = open.pop(); file !== undefined; file = open.pop()) {
      for (const header of await this.#includes(file)) {
        if (found.has(header)) continue;
        found.add(header);
        open.push(header);
      }
    }
    return [...found].sort();
  }

  #includes(file: string): Promise<readonly string[]> {
    let headers = this.#direct.get(file);
    if (headers === undefined) this.#direct.set(file, headers = this.#read(file));
    return headers;
  }

  async #read(file: string): Promise<readonly string[]> {
    const text = await Deno.readTextFile(file);
    const names = [...text.matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)].map(([, name]) => name!);
    const paths = await Promise.all(names.map((name) => this.#find(dirname(file), name)));
    return paths.filter((path) => path !== undefined);
  }

  async #find(folder: string, name: string): Promise<string | undefined> {
    for (const candidate of [folder, ...this.#folders]) {
      const path = normalize(`${candidate}/${name}`);
      if (await Deno.stat(path).then((it) => it.isFile, () => false)) return path;
    }
    return undefined;
  }
}
