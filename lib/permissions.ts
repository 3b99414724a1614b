/**
 * What the process may do, asked without troubling the user.
 *
 * @module
 */

/**
 * Says whether a permission is granted now; it is not asked for.
 *
 * @param descriptor The permission, as Deno describes it.
 * @returns Whether it is granted in full.
 */
export function isGranted(descriptor: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(descriptor).state === "granted";
}

/**
 * Reads a variable that is an option and no need: one that may not be read counts as unset.
 *
 * @param variable Its name.
 * @returns Its value; undefined where it is unset, empty or not to be read.
 */
export function readEnvironment(variable: string): string | undefined {
  if (!isGranted({ name: "env", variable })) return undefined;
  return Deno.env.get(variable) || undefined;
}
