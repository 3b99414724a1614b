import { LibraryError } from "../errors.ts";
import { digestFile } from "../files.ts";
import type { ReleaseFile } from "./release.ts";

/** Fetches a URL into a cache and returns its path; `reloadAll` fetches it again. */
export type Download = (options: { url: string; cache: "use" | "reloadAll" }) => Promise<string>;

/**
 * Fetches a released library from the cache or the network, and verifies it.
 *
 * plug caches by URL and verifies nothing, so a truncated download would stay forever: a file whose
 * hash does not match is removed and fetched once more. It is removed first because plug would
 * overwrite it in place, under processes that have it mapped.
 *
 * @param file The library and its SHA-256.
 * @param download Fetches into a cache. Default `@denosaurs/plug`.
 * @returns The path of the verified file.
 * @throws {LibraryError} If the file does not match its SHA-256 after a second download.
 */
export async function downloadVerified(
  file: ReleaseFile,
  download: Download = plugDownload,
): Promise<string> {
  const { url } = file;
  let path = await download({ url, cache: "use" });
  if (digestFile(path).sha256 === file.sha256) return path;
  Deno.removeSync(path);
  path = await download({ url, cache: "reloadAll" });
  const actual = digestFile(path).sha256;
  if (actual === file.sha256) return path;
  Deno.removeSync(path);
  throw new LibraryError(
    `Cannot use the download of ${url}: its SHA-256 is ${actual}, the manifest says ` +
      `${file.sha256}. It was removed; the file may have been replaced after the release`,
  );
}

/**
 * The specifier is deliberately not a literal: Deno resolves literals at start-up, and importing
 * remoe must not contact a registry for a download that may never be needed.
 */
async function plugDownload(options: { url: string; cache: "use" | "reloadAll" }): Promise<string> {
  const plug = "jsr:@denosaurs/plug@^1.1.0/download";
  const { download } = await import(plug) as { download: Download };
  return await download(options);
}
