/**
 * A limit on the size of files, `ulimit -f`.
 *
 * @module
 */

/**
 * Lets a write beyond the limit fail, so that a command can say so, where the system's signal would
 * end the process. It holds until the process ends.
 */
export function outliveFileSizeLimit(): void {
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGXFSZ", () => {});
}
