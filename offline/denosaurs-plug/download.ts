/**
 * Stand-in for `@denosaurs/plug/download`: fetches a file into a cache.
 *
 * As with the original, the name in the cache is the SHA-256 of the URL's path and query, not of
 * the content; nothing verifies the content, and progress is printed to standard output.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** What to fetch, and how the cache serves. */
export interface DownloadOptions {
  /** An `http:`, `https:` or `file:` URL of the file itself. */
  url: string | URL;
  /** Directory of the cache, or `deno` (default) for `$DENO_DIR/plug`. */
  location?: string | URL;
  /** `use` (default) what is cached, `only` that, or `reloadAll`. */
  cache?: "use" | "only" | "reloadAll";
}

/**
 * Fetches a file, or finds it in the cache.
 *
 * @param options A URL, or the URL with the cache's place and use.
 * @returns The path of the cached file.
 */
export async function download(options: string | URL | DownloadOptions): Promise<string> {
  const { url: given, location = "deno", cache = "use" } =
    typeof options === "string" || options instanceof URL ? { url: options } : options;
  const url = new URL(given);
  const base = join(cacheDirectory(location), cacheName(url));
  const path = base + extname(url.pathname);
  const cached = cache === "only" || (cache === "use" && await isFile(path));
  if (!cached) {
    await Deno.mkdir(join(base, ".."), { recursive: true });
    await fetchTo(url, path);
    await Deno.writeTextFile(`${base}.metadata.json`, JSON.stringify({ url }));
  }
  if (!await isFile(path)) throw new Error(`Could not find "${url}" in cache.`);
  return path;
}

async function fetchTo(url: URL, path: string): Promise<void> {
  if (url.protocol === "file:") {
    console.log(`Copying ${url}`);
    await Deno.copyFile(url, path);
    return;
  }
  console.log(`Downloading ${url}`);
  const response = await fetch(url);
  if (response.status === 404) {
    await response.body?.cancel();
    throw new Error(`Could not find ${url}`);
  }
  if (!response.ok) {
    await response.body?.cancel();
    throw new Deno.errors.Http(`${response.status} ${response.statusText}`);
  }
  await Deno.writeFile(path, await response.bytes());
}

function cacheName(url: URL): string {
  const hash = createHash("sha256").update(url.pathname + url.search).digest("hex");
  const host = url.port === "" ? url.hostname : `${url.hostname}_PORT${url.port}`;
  switch (url.protocol) {
    case "http:":
    case "https:":
      return join(url.protocol.slice(0, -1), host, hash);
    case "file:":
      return join("file", hash);
    default:
      throw new TypeError(`Don't know how to create cache name for protocol: ${url.protocol}`);
  }
}

function cacheDirectory(location: string | URL): string {
  if (location instanceof URL) return fileURLToPath(location);
  if (location.startsWith("file://")) return fileURLToPath(location);
  if (location !== "deno") return resolve(location);
  const denoDirectory = Deno.env.get("DENO_DIR");
  if (denoDirectory) return join(resolve(denoDirectory), "plug");
  const home = Deno.env.get("HOME");
  const base = Deno.build.os === "windows"
    ? Deno.env.get("LOCALAPPDATA")
    : Deno.build.os === "darwin"
    ? home && join(home, "Library", "Caches")
    : Deno.env.get("XDG_CACHE_HOME") || (home && join(home, ".cache"));
  if (!base) throw new Error("Could not get the deno cache directory");
  return join(base, "deno", "plug");
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.lstat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
