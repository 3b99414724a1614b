/** A library of a release, and its expected hash. */
export interface ReleaseFile {
  /** The backend it was built for. */
  readonly backend: "cpu" | "cuda";
  /** `Deno.build.os` of its platform. */
  readonly os: string;
  /** `Deno.build.arch` of its platform. */
  readonly arch: string;
  /** Download URL. */
  readonly url: string;
  /** SHA-256 of the file in lowercase hexadecimal. */
  readonly sha256: string;
}

/** The prebuilt libraries of one version. */
export interface Release {
  /** The version in `deno.json`. */
  readonly version: string;
  /** The libraries, one per backend and platform. */
  readonly files: readonly ReleaseFile[];
}

/**
 * The release that this version downloads from. The hashes are part of the package, so a file that
 * was replaced at its URL is rejected. No libraries have been released yet.
 */
export const RELEASE: Release = { version: "0.1.0", files: [] };
