/**
 * Why the system refused a file or a folder, in words.
 *
 * @module
 */

/** What the codes that users meet mean, and what to do where that is not plain. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  EACCES: "the system does not allow it, check its owner and its rights",
  EPERM: "the system does not allow it, check its owner and its rights",
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
  EIO: "the device it is on has a fault",
  EBUSY: "something else is using it",
};

/**
 * Says why the system refused a file or a folder.
 *
 * @param cause What Deno threw.
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
  // "File too large (os error 27): writefile '/a/b'": the caller names the path itself.
  const [, text] = /^(.+?) \(os error \d+\)/s.exec(cause.message) ?? [];
  return text === undefined ? cause.message : text[0]!.toLowerCase() + text.slice(1);
}
