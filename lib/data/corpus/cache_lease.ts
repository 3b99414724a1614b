import { join } from "node:path";

import { TEMPORARY } from "../../files.ts";

/**
 * A shared lock held by every process that writes to the cache. A process that finds it free first
 * removes the half-written files of killed processes. It is the operating system's file lock, which
 * ends with its process, so neither a clock nor a process id has to be trusted.
 */
export class CacheLease implements Disposable {
  readonly #file: Deno.FsFile | null;

  private constructor(file: Deno.FsFile | null) {
    this.#file = file;
  }

  /**
   * Removes leftovers if no process is writing, then takes the shared lock.
   *
   * @param root The root of the token cache.
   * @returns The lease; without effect where files cannot be locked or written.
   */
  static async open(root: string): Promise<CacheLease> {
    let file: Deno.FsFile | null = null;
    try {
      await Deno.mkdir(root, { recursive: true });
      file = await Deno.open(join(root, "lock"), { read: true, write: true, create: true });
      if (await file.tryLock(true)) {
        await sweep(root);
        await file.unlock();
      }
      await file.lock(false);
      return new CacheLease(file);
    } catch {
      // A cache that cannot be written needs no sweep; the writer reports why it cannot be written.
      file?.close();
      return new CacheLease(null);
    }
  }

  /** Releases the lock. */
  [Symbol.dispose](): void {
    this.#file?.close();
  }
}

async function sweep(root: string): Promise<void> {
  const tokens = join(root, "tokens");
  const folders = (await entriesOf(tokens)).map(({ name }) => join(tokens, name));
  for (const folder of [join(root, "index"), ...folders]) {
    for (const { name, isFile } of await entriesOf(folder)) {
      if (isFile && TEMPORARY.test(name)) await Deno.remove(join(folder, name)).catch(() => {});
    }
  }
}

async function entriesOf(folder: string): Promise<Deno.DirEntry[]> {
  return await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
}
