/**
 * System errors about files and folders, in words.
 *
 * @module
 */

/** The meaning of common error codes, and the remedy where it is not obvious. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  EACCES: "the system does not allow it, check its owner and permissions",
  EPERM: "the system does not allow it, check its owner and permissions",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of its path is not a folder",
  EEXIST: "there is something else of that name",
  ENOSPC: "no space is left on the device, make room",
  EDQUOT: "the disk quota is used up, make room",
  EROFS: "the file system is read-only, choose another folder",
  EFBIG: "it would grow beyond the limit on the size of files, raise it (ulimit -f)",
  EMFILE: "too many files are open, raise the limit (ulimit -n)",
  ENFILE: "too many files are open on this machine",
  ELOOP: "links lead in a circle",
  ENAMETOOLONG: "a part of its name is too long",
  EIO: "input or output failed on its device",
  EBUSY: "something else is using it",
};

/**
 * Explains why the system refused a file or folder.
 *
 * @param cause The error Deno threw.
 * @returns The reason, to follow a colon.
 */
export function systemReason(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  if (cause instanceof Deno.errors.NotCapable) {
    const flag = /--allow-\w+/.exec(cause.message)?.[0] ?? "the permission";
    return `run Deno with ${flag} for this path`;
  }
  const { code } = cause as { readonly code?: unknown };
  if (typeof code === "string" && Object.hasOwn(REASONS, code)) return REASONS[code]!;
  // "File too large (os error 27): writefile '/a/b'": callers name the path themselves.
  const [, text] = /^(.+?) \(os error \d+\)/s.exec(cause.message) ?? [];
  return text === undefined ? cause.message : text[0]!.toLowerCase() + text.slice(1);
}
