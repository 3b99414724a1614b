/** Build files: read if they exist, written completely or not at all. @module */

/**
 * Tells whether a file exists.
 *
 * @param path The file.
 * @returns Whether the path exists and is a file.
 */
export function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/**
 * Reads a file that may be missing.
 *
 * @param path The file.
 * @returns Its text; undefined if it cannot be read.
 */
export function readIfThere(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}

/**
 * Removes a file or a folder that may be missing.
 *
 * @param path What to remove.
 */
export function remove(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/**
 * Replaces a file atomically: another process may have the old one open, and a killed one leaves no
 * partial file.
 *
 * @param path The file.
 * @param write Writes the file under the temporary name it is given.
 */
export function replace(path: string, write: (temporary: string) => void): void {
  const temporary = `${path}.${Deno.pid}`;
  write(temporary);
  Deno.renameSync(temporary, path);
}

/**
 * Lists the files below a folder.
 *
 * @param folder The folder.
 * @returns Their paths.
 */
export function filesBelow(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory ? filesBelow(path) : [path];
  });
}
