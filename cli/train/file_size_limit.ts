/**
 * The limit on the size of files, `ulimit -f`.
 *
 * @module
 */

/**
 * Makes a write beyond the limit fail, so that a command can report it; otherwise the system's
 * signal would end the process. Stays in force until the process ends.
 */
export function outliveFileSizeLimit(): void {
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGXFSZ", () => {});
}
