/** A library of a release, and what it must hash to. */
export interface ReleaseFile {
  /** The backend it was built for. */
  readonly backend: "cpu" | "cuda";
  /** `Deno.build.os` of its machines. */
  readonly os: string;
  /** `Deno.build.arch` of its machines. */
  readonly arch: string;
  /** Where it is downloaded from. */
  readonly url: string;
  /** SHA-256 of the file in lower-case hexadecimal. */
  readonly sha256: string;
}

/** The prebuilt libraries of one version. */
export interface Release {
  /** The version in `deno.json`. */
  readonly version: string;
  /** The libraries, one a backend and platform. */
  readonly files: readonly ReleaseFile[];
}

/**
 * The release that this version downloads from. The hashes are part of the package, so that a
 * changed file at the URL is refused rather than loaded. No libraries have been released yet.
 */
export const RELEASE: Release = { version: "0.1.0", files: [] };
