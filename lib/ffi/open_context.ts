import { DeviceError, type LibraryAttempt, LibraryError } from "../errors.ts";
import { type ContextOptions, KernelContext } from "./context.ts";
import {
  type DeviceKind,
  type LibraryCandidate,
  libraryCandidates,
  notFound,
  type Surroundings,
  surroundings,
} from "./find_library.ts";
import { type KernelLibrary, openLibrary } from "./library.ts";

/** Which device to open, and from which library. */
export interface OpenOptions {
  /** The requested device. Default `auto`. */
  readonly kind?: DeviceKind;
  /** The kernel library to use instead of searching for one. */
  readonly path?: string;
  /** Index of the device. Default 0, the only one on a CPU. */
  readonly ordinal?: number;
  /** CPU threads; 0 means one per available core. Default 0. */
  readonly threads?: number;
}

/** An open device, and how its library was found. */
export interface OpenedContext {
  /** The device. Closing it also closes the library. */
  readonly context: KernelContext;
  /** Everything tried, in order; the last attempt succeeded. */
  readonly attempts: readonly LibraryAttempt[];
}

/**
 * Finds and opens a kernel library, and a device of it. It tries the file named by `path` or by
 * `REMOE_LIBRARY`, then a build in the checkout, then the release, cached or downloaded and
 * verified. It never compiles anything. Kind `auto` skips a CUDA library that lacks functions
 * needed for training.
 *
 * @param options Kind and index of the device, threads, or a library's path.
 * @param facts Environment, platform and release. Default this process's.
 * @returns The device and what was tried.
 * @throws {LibraryError} If no library can be opened; the message lists everything tried.
 * @throws {DeviceError} If the library opens but has no such device.
 */
export async function openContext(
  options: OpenOptions = {},
  facts: Surroundings = surroundings(),
): Promise<OpenedContext> {
  const { kind = "auto", path } = options;
  const attempts: LibraryAttempt[] = [];
  let cause: unknown;
  for (const candidate of libraryCandidates(kind, path, facts)) {
    const { source, backend } = candidate;
    let location = candidate.location;
    try {
      location = await candidate.locate();
      const context = open(location, candidate, kind, options);
      attempts.push({ source, backend, location, outcome: "opened" });
      return { context, attempts };
    } catch (error) {
      // If a library opened but the device failed, trying another would only hide the reason.
      if (error instanceof DeviceError && !candidate.optional) throw error;
      cause = error;
      const outcome = error instanceof Error ? error.message : String(error);
      const denied = error instanceof Error && error.cause instanceof Deno.errors.NotCapable;
      attempts.push({ source, backend, location, outcome, ...(denied ? { denied } : {}) });
    }
  }
  throw notFound(kind, attempts, cause);
}

function open(
  path: string,
  candidate: LibraryCandidate,
  kind: DeviceKind,
  options: ContextOptions,
): KernelContext {
  const library = openLibrary(path);
  try {
    checkBackend(library, candidate, kind);
    if (candidate.optional) checkTrains(library);
    return KernelContext.create(library, { ...options, ownsLibrary: true });
  } catch (error) {
    library.close();
    throw error;
  }
}

/** Functions that training does without: they compute nothing, or nothing calls them. */
const DISPENSABLE = /^remoe_(probe_|scratch_bytes$|capture_|graph_)/;

/** Rejects a partial build if another candidate can serve: it would fail in mid-training. */
function checkTrains({ missing }: KernelLibrary): void {
  const needed = missing.filter((name) => !DISPENSABLE.test(name));
  if (needed.length === 0) return;
  throw new LibraryError(
    `it cannot train: it lacks ${needed.length} functions, such as ${needed[0]}; ` +
      'device kind "cuda" opens it regardless',
  );
}

function checkBackend(library: KernelLibrary, candidate: LibraryCandidate, kind: DeviceKind): void {
  const wanted = candidate.backend === "any" ? kind : candidate.backend;
  const { backend } = library.buildInfo;
  if (wanted === "auto" || wanted === backend) return;
  throw new LibraryError(`it is built for "${backend}", not for "${wanted}"`);
}
