import { type LibraryAttempt, LibraryError } from "../errors.ts";
import type { ContextInfo, KernelContext } from "./context.ts";
import type { BuildInfo } from "./library.ts";
import { openContext, type OpenOptions } from "./open_context.ts";
import { type DevicePeak, measurePeak, probeFma } from "./probe.ts";

/** A permission that matters to this package. */
export type PermissionName = "ffi" | "read" | "write" | "env" | "net";

/** State of a permission; `partial` if granted for some paths, variables or hosts only. */
export type PermissionLevel = "granted" | "partial" | "prompt" | "denied";

/** How a device computes bf16 products. */
export interface Bf16Products {
  /** The unit that computes them. */
  readonly unit: string;
  /** Its peak in GFLOPS. */
  readonly gflops: number;
}

/** Findings about the library, the device and the process. */
export interface Diagnosis {
  /** Whether a device could be opened. */
  readonly ok: boolean;
  /** Version of Deno, and the platform it was built for. */
  readonly deno: { readonly version: string; readonly target: string };
  /** Permissions of the process, by name. */
  readonly permissions: Readonly<Record<PermissionName, PermissionLevel>>;
  /** Everything tried to find a library, in order. */
  readonly attempts: readonly LibraryAttempt[];
  /** The library, if one was opened. */
  readonly library?: {
    readonly path: string;
    readonly abiVersion: number;
    readonly build: BuildInfo;
    /** Functions of the contract that it lacks. */
    readonly missing: readonly string[];
  };
  /** The device, if one was opened. */
  readonly device?: ContextInfo;
  /** Its measured peak, if the library can measure it. */
  readonly peak?: DevicePeak;
  /** The unit that computes bf16 products, and its peak; null if there is none. */
  readonly bf16?: Bf16Products | null;
  /** Why there is no device or no peak. */
  readonly problem?: string;
}

/**
 * Opens a device as training would, and reports what it finds on the way.
 *
 * @param options As for {@linkcode openContext}.
 * @returns The findings. A missing library or device is reported, not thrown.
 */
export async function diagnose(options: OpenOptions = {}): Promise<Diagnosis> {
  const process = {
    deno: { version: Deno.version.deno, target: Deno.build.target },
    permissions: permissions(),
  };
  try {
    const { context, attempts } = await openContext(options);
    using _ = context;
    const { path, abiVersion, buildInfo: build, missing } = context.library;
    const library = { path, abiVersion, build, missing };
    const found = { ok: true, ...process, attempts, library, device: context.info() };
    try {
      return { ...found, peak: measurePeak(context), bf16: bf16Products(context) };
    } catch (error) {
      return { ...found, problem: messageOf(error) };
    }
  } catch (error) {
    const attempts = error instanceof LibraryError ? error.attempts : [];
    return { ok: false, ...process, attempts, problem: messageOf(error) };
  }
}

/** What the device computes bf16 products with; null if it widens them, as older libraries do. */
function bf16Products(context: KernelContext): Bf16Products | null {
  const { bf16: unit = "fp32" } = context.info();
  return unit === "fp32" ? null : { unit, gflops: probeFma(context, { dtype: "bf16" }) };
}

function permissions(): Record<PermissionName, PermissionLevel> {
  const level = (name: PermissionName): PermissionLevel => {
    const { state, partial } = Deno.permissions.querySync({ name });
    return partial ? "partial" : state;
  };
  return {
    ffi: level("ffi"),
    read: level("read"),
    write: level("write"),
    env: level("env"),
    net: level("net"),
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
