/**
 * Writing files so that a crash leaves the old or the new, and nothing in between.
 *
 * @module
 */

/**
 * Writes all bytes; a single write may take fewer than it is given.
 *
 * @param file An open file.
 * @param bytes What to write.
 */
export function writeAllSync(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) {
    written += file.writeSync(bytes.subarray(written));
  }
}

/**
 * Writes a file under a temporary name, waits until it is on the disk, then gives it its name.
 *
 * @param path The file.
 * @param text Its contents.
 */
export function writeTextAtomically(path: string, text: string): void {
  const temporary = `${path}.tmp`;
  {
    using file = Deno.openSync(temporary, { write: true, create: true, truncate: true });
    writeAllSync(file, new TextEncoder().encode(text));
    file.syncSync();
  }
  Deno.renameSync(temporary, path);
  syncDirectory(path.slice(0, path.lastIndexOf("/") + 1) || ".");
}

/**
 * Waits until the names in a folder are on the disk: without it a rename may be lost although the
 * file's contents are not. Windows can neither open nor needs to sync a folder.
 *
 * @param path The folder.
 */
export function syncDirectory(path: string): void {
  if (Deno.build.os === "windows") return;
  using directory = Deno.openSync(path);
  directory.syncSync();
}
