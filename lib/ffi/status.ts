import { Status } from "./codes.ts";

/**
 * Names a status for an error message.
 *
 * @param status A value of {@linkcode Status}, or an unknown code from a newer library.
 * @returns The name in words, such as `out of memory`.
 */
export function statusName(status: number): string {
  const name = Object.entries(Status).find(([, code]) => code === status)?.[0];
  if (name === undefined) return `unknown status ${status}`;
  return name.replace(/[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`);
}
