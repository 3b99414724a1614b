import { Status } from "./codes.ts";

/**
 * Names a status for an error message.
 *
 * @param status A value of {@linkcode Status}, or what a newer library returned instead.
 * @returns The name in words, such as `out of memory`.
 */
export function statusName(status: number): string {
  const name = Object.entries(Status).find(([, code]) => code === status)?.[0];
  if (name === undefined) return `unknown status ${status}`;
  return name.replace(/[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`);
}
