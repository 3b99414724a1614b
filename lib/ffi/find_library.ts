import { fileURLToPath } from "node:url";
import { type LibraryAttempt, LibraryError } from "../errors.ts";
import { isGranted, readEnvironment } from "../permissions.ts";
import { type Download, downloadVerified } from "./download.ts";
import { RELEASE, type Release, type ReleaseFile } from "./release.ts";

/** The requested device: `auto` prefers CUDA and falls back to the CPU. */
export type DeviceKind = "auto" | "cpu" | "cuda";

/** A possible source of a kernel library. */
export interface LibraryCandidate {
  /** The step of the search. */
  readonly source: "path" | "REMOE_LIBRARY" | "checkout" | "release";
  /** The kind of library expected; `any` if the user named the file. */
  readonly backend: "cpu" | "cuda" | "any";
  /** The file, its URL, or a description, for messages. */
  readonly location: string;
  /** Whether it may be skipped silently because a later candidate can serve. */
  readonly optional: boolean;
  /**
   * Makes the file available, downloading it if necessary.
   *
   * @returns Its path.
   * @throws {Error} If there is none; the message says why.
   */
  locate(): string | Promise<string>;
}

/** What the search depends on besides the options; tests substitute their own. */
export interface Surroundings {
  /** The file named by `REMOE_LIBRARY`, if any. */
  readonly override: string | undefined;
  /** URL of a module in `lib/ffi`; if it is a file, the checkout around it is searched. */
  readonly moduleUrl: string;
  /** `Deno.build.os`. */
  readonly os: string;
  /** `Deno.build.arch`. */
  readonly arch: string;
  /** The prebuilt libraries of this version. */
  readonly release: Release;
  /** Fetches into a cache. Default `@denosaurs/plug`. */
  readonly download?: Download;
}

/**
 * Returns the surroundings of this process.
 *
 * @returns `REMOE_LIBRARY` if it may be read, this module, the platform and the release.
 */
export function surroundings(): Surroundings {
  const { os, arch } = Deno.build;
  return {
    override: readEnvironment("REMOE_LIBRARY"),
    moduleUrl: import.meta.url,
    os,
    arch,
    release: RELEASE,
  };
}

/**
 * Lists the possible sources of a kernel library, in the order they are tried.
 *
 * A file named by the user is the only candidate: falling back from a mistyped path to another
 * library would hide the mistake.
 *
 * @param kind The requested device.
 * @param path The file the caller names, if any.
 * @param facts Platform, environment and release.
 * @returns The candidates.
 */
export function libraryCandidates(
  kind: DeviceKind,
  path: string | undefined,
  facts: Surroundings,
): LibraryCandidate[] {
  if (path !== undefined) return [named("path", path)];
  if (facts.override) return [named("REMOE_LIBRARY", facts.override)];
  const backends = kind === "auto" ? ["cuda", "cpu"] as const : [kind] as const;
  return backends.flatMap((backend) => {
    const optional = kind === "auto" && backend === "cuda";
    const release = fromRelease(backend, optional, facts);
    return facts.moduleUrl.startsWith("file:")
      ? [fromCheckout(backend, optional, facts), release]
      : [release];
  });
}

/**
 * Lists the files that may be opened without a download, for use in `--allow-ffi`.
 *
 * @param kind The requested device.
 * @param path The file the caller names, if any.
 * @param facts Platform, environment and release. Default this process's.
 * @returns Paths, in the order they are tried; a checkout's need not exist.
 */
export function libraryPaths(
  kind: DeviceKind,
  path?: string,
  facts: Surroundings = surroundings(),
): string[] {
  return libraryCandidates(kind, path, facts)
    .filter(({ source }) => source !== "release")
    .map(({ location }) => location);
}

/**
 * Returns the file name of a kernel library on a platform.
 *
 * @param backend `cpu`, `cuda` or `emulated`.
 * @param os The `Deno.build.os`. Default this process's.
 * @returns The name, such as `libremoe_cpu.so`.
 */
export function libraryFileName(backend: string, os: string = Deno.build.os): string {
  switch (os) {
    case "windows":
      return `remoe_${backend}.dll`;
    case "darwin":
      return `libremoe_${backend}.dylib`;
    default:
      return `libremoe_${backend}.so`;
  }
}

/**
 * Makes an error that lists everything tried.
 *
 * @param kind The requested device.
 * @param attempts What was tried, in order.
 * @param cause The last error.
 * @returns The error, for the caller to throw.
 */
export function notFound(
  kind: DeviceKind,
  attempts: readonly LibraryAttempt[],
  cause: unknown,
): LibraryError {
  const tried = attempts.map(({ source, backend, location, outcome }) =>
    `\n  - ${source} (${backend}): ${location}: ${outcome}`
  );
  const refused = attempts.findLast(({ denied }) => denied)?.location;
  const grant = refused === undefined ? "" : `Run deno with --allow-ffi=${refused} to open it. `;
  return new LibraryError(
    `Cannot open a kernel library for device kind "${kind}". Tried:${tried.join("")}\n${grant}` +
      "In a checkout of remoe, run `deno task build`; elsewhere set REMOE_LIBRARY to the path " +
      `of a library built from version ${RELEASE.version}`,
    { attempts, cause },
  );
}

function named(source: "path" | "REMOE_LIBRARY", path: string): LibraryCandidate {
  return { source, backend: "any", location: path, optional: false, locate: () => path };
}

function fromCheckout(
  backend: "cpu" | "cuda",
  optional: boolean,
  facts: Surroundings,
): LibraryCandidate {
  const name = libraryFileName(backend, facts.os);
  const location = fileURLToPath(new URL(`../../kernels/build/${name}`, facts.moduleUrl));
  const locate = (): string => {
    if (isGranted({ name: "read", path: location })) {
      if (!isFile(location)) throw new Error("no such file");
    } else if (optional && !isGranted({ name: "ffi", path: location })) {
      // Opening it would prompt for access to a file that may not exist and is not needed.
      throw new Error("not looked for: neither --allow-read nor --allow-ffi covers it");
    }
    return location;
  };
  return { source: "checkout", backend, location, optional, locate };
}

function fromRelease(
  backend: "cpu" | "cuda",
  optional: boolean,
  facts: Surroundings,
): LibraryCandidate {
  const { os, arch, release } = facts;
  const file = release.files.find((it: ReleaseFile) =>
    it.backend === backend && it.os === os && it.arch === arch
  );
  const locate = (): Promise<string> => {
    if (file === undefined) {
      throw new Error(`no ${backend} library is listed for ${os} ${arch}`);
    }
    if (optional && !hasCudaDriver()) throw new Error("not downloaded: there is no CUDA driver");
    return downloadVerified(file, facts.download);
  };
  const location = file?.url ?? `release ${release.version}`;
  return { source: "release", backend, location, optional, locate };
}

/** Tells whether a CUDA driver's device files exist, natively or under WSL. */
function hasCudaDriver(): boolean {
  return ["/dev/nvidiactl", "/dev/dxg"].some((path) =>
    isGranted({ name: "read", path }) && exists(path)
  );
}

function isFile(path: string): boolean {
  return exists(path) && Deno.statSync(path).isFile;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
