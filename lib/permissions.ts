/**
 * Queries of permissions that never prompt the user.
 *
 * @module
 */

/**
 * Tells whether a permission is granted, without requesting it.
 *
 * @param descriptor The permission, as Deno describes it.
 * @returns Whether it is fully granted.
 */
export function isGranted(descriptor: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(descriptor).state === "granted";
}

/**
 * Reads an optional environment variable; one that may not be read counts as unset.
 *
 * @param variable Its name.
 * @returns Its value; undefined if it is unset, empty or may not be read.
 */
export function readEnvironment(variable: string): string | undefined {
  if (!isGranted({ name: "env", variable })) return undefined;
  return Deno.env.get(variable) || undefined;
}
