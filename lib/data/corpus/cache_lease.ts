import { join } from "node:path";

import { TEMPORARY } from "../../files.ts";

/**
 * Held by whoever writes to the cache, together with others; who finds it free sweeps away the files
 * that killed programs left half written. It is the system's own file lock, which ends with its
 * process: no clock and no process id has to be believed.
 */
export class CacheLease implements Disposable {
  readonly #file: Deno.FsFile | null;

  private constructor(file: Deno.FsFile | null) {
    this.#file = file;
  }

  /**
   * Sweeps if nobody writes, then joins those who do.
   *
   * @param root The folder of all cached tokens.
   * @returns The lease; one without effect where files cannot be locked or written.
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
      // What cannot be written has nothing to sweep; those who write say why they cannot.
      file?.close();
      return new CacheLease(null);
    }
  }

  /** Leaves the others. */
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
