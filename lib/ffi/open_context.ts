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
  /** The device asked for, default `auto`. */
  readonly kind?: DeviceKind;
  /** The kernel library to use, instead of looking for one. */
  readonly path?: string;
  /** Index of the device, default 0; the CPU has only 0. */
  readonly ordinal?: number;
  /** CPU threads, default 0: one per available core. */
  readonly threads?: number;
}

/** An open device, and how its library was found. */
export interface OpenedContext {
  /** The device. Closing it closes the library as well. */
  readonly context: KernelContext;
  /** Everything tried, in order; the last one was opened. */
  readonly attempts: readonly LibraryAttempt[];
}

/**
 * Finds a kernel library, opens it, and opens a device of it: the file named by `path` or by
 * `REMOE_LIBRARY`; else a build in the checkout; else the release, cached or downloaded and
 * verified. Nothing is ever compiled here. Kind `auto` passes over a CUDA library that lacks
 * functions which training needs.
 *
 * @param options Kind and index of the device, threads, or a library's path.
 * @param facts Environment, platform and release, default those of this process.
 * @returns The device and what was tried.
 * @throws {LibraryError} If no library can be opened; it lists everything tried.
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
      // A library that opened but refuses the device would only be hidden by another one.
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

/** Functions that compute nothing: training does without. */
const DISPENSABLE = /^remoe_(probe_|scratch_bytes$)/;

/** Refuses a partial build where another candidate serves as well: it would fail in mid-training. */
function checkTrains({ missing }: KernelLibrary): void {
  const needed = missing.filter((name) => !DISPENSABLE.test(name));
  if (needed.length === 0) return;
  throw new LibraryError(
    `it cannot train: it lacks ${needed.length} functions, such as ${needed[0]}; ` +
      'device kind "cuda" opens it all the same',
  );
}

function checkBackend(library: KernelLibrary, candidate: LibraryCandidate, kind: DeviceKind): void {
  const wanted = candidate.backend === "any" ? kind : candidate.backend;
  const { backend } = library.buildInfo;
  if (wanted === "auto" || wanted === backend) return;
  throw new LibraryError(`it is built for "${backend}", not for "${wanted}"`);
}
