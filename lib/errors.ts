/**
 * The errors remoe throws. Each message says what was attempted, why it failed and what to do;
 * `cause` holds the underlying error, if any.
 *
 * @module
 */

/**
 * Two shapes do not fit each other, or one does not fit the operation.
 *
 * @example
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { Device, reshape, ShapeMismatchError } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * const x = device.zeros([2, 3]);
 * assertThrows(() => reshape(x, [4]), ShapeMismatchError, "Cannot reshape [2, 3] to [4]");
 * ```
 */
export class ShapeMismatchError extends RangeError {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "ShapeMismatchError";

  /**
   * Creates the error.
   *
   * @param message The operation, both shapes, and what to do.
   * @param options The underlying error as `cause`.
   */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/**
 * A configuration holds an unusable value or combination of values.
 *
 * @example
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { ConfigError, Device, TopKRouter } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * assertThrows(
 *   () => new TopKRouter(device, { hidden: 8, experts: 2, active: 3 }),
 *   ConfigError,
 *   "Cannot choose 3 of 2 experts",
 * );
 * ```
 */
export class ConfigError extends TypeError {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "ConfigError";

  /**
   * Creates the error.
   *
   * @param message The field, its value, and what is allowed.
   * @param options The underlying error as `cause`.
   */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** One attempt to find or open a kernel library. */
export interface LibraryAttempt {
  /** The step of the search: `path`, `REMOE_LIBRARY`, `checkout` or `release`. */
  readonly source: string;
  /** The kind of library expected; `any` if the user named the file. */
  readonly backend: string;
  /** The file, its URL, or a description of it. */
  readonly location: string;
  /** `opened`, or the reason it was not. */
  readonly outcome: string;
  /** Whether `--allow-ffi` was missing. */
  readonly denied?: boolean;
}

/** What a {@linkcode LibraryError} carries besides its message. */
export interface LibraryErrorOptions extends ErrorOptions {
  /** Everything tried, in order. Default none. */
  readonly attempts?: readonly LibraryAttempt[];
}

/**
 * No kernel library could be found, verified and opened.
 *
 * @example
 * ```ts
 * import { assert, assertRejects } from "@std/assert";
 * import { Device, LibraryError } from "@remoe/remoe";
 *
 * const error = await assertRejects(() => Device.open({ library: "/none.so" }), LibraryError);
 * assert(error.attempts[0]?.location === "/none.so");
 * ```
 */
export class LibraryError extends Error {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "LibraryError";
  /** Everything tried, in order; empty if the error concerns a single given file. */
  readonly attempts: readonly LibraryAttempt[];

  /**
   * Creates the error.
   *
   * @param message What was looked for, everything tried, and what to do.
   * @param options The attempts, and the underlying error as `cause`.
   * @throws {TypeError} If the attempts are not an array of objects.
   */
  constructor(message: string, options: LibraryErrorOptions = {}) {
    super(message, options);
    const attempts = options?.attempts ?? [];
    const isList = Array.isArray(attempts) &&
      Array.from(attempts).every((one) => one instanceof Object);
    requireField("LibraryError", "attempts", isList, "an array of objects");
    this.attempts = attempts.map((attempt) => Object.freeze({ ...attempt }));
  }
}

/** What a {@linkcode DeviceError} carries besides its message. */
export interface DeviceErrorOptions extends ErrorOptions {
  /** The `remoe_status` that the kernel library returned. */
  readonly status: number;
  /** The operation that failed, as the caller named it. */
  readonly operation: string;
}

/**
 * A call into the kernel library failed.
 *
 * @example
 * ```ts
 * import { assert, assertThrows } from "@std/assert";
 * import { add, Device, DeviceError } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using other = await Device.open({ kind: "cpu" });
 * const x = device.ones([2]), y = other.ones([2]);
 * const error = assertThrows(() => add(x, y), DeviceError, "two devices");
 * assert(error.operation === "add");
 * ```
 */
export class DeviceError extends Error {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "DeviceError";
  /** The `remoe_status` that the kernel library returned. */
  readonly status: number;
  /** The operation that failed, as the caller named it. */
  readonly operation: string;

  /**
   * Creates the error.
   *
   * @param message The operation, the status and the library's message.
   * @param options The status, the operation, and the underlying error as `cause`.
   * @throws {TypeError} If the status is not an integer or the operation not a string.
   */
  constructor(message: string, options: DeviceErrorOptions) {
    super(message, options);
    const { status, operation } = options ?? {};
    requireField("DeviceError", "status", Number.isInteger(status), "an integer");
    requireField("DeviceError", "operation", typeof operation === "string", "a string");
    this.status = status;
    this.operation = operation;
  }
}

/**
 * A checkpoint is missing, incomplete, corrupt, or belongs to another model.
 *
 * @example
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { CheckpointError } from "@remoe/remoe";
 * import { SafetensorsFile } from "@remoe/remoe/train";
 *
 * assertThrows(() => SafetensorsFile.open("missing.safetensors"), CheckpointError, "missing");
 * ```
 */
export class CheckpointError extends Error {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "CheckpointError";

  /**
   * Creates the error.
   *
   * @param message The file, what is wrong with it, and what to do.
   * @param options The underlying error as `cause`.
   */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/**
 * A file or folder cannot be created, read or written: no space, no permission, or no such file.
 *
 * @example
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { FileError } from "@remoe/remoe";
 * import { JsonlSink } from "@remoe/remoe/train";
 *
 * const error = assertThrows(() => new JsonlSink("/no/such/folder/metrics.jsonl"), FileError);
 * assertEquals(error.path, "/no/such/folder/metrics.jsonl");
 * ```
 */
export class FileError extends Error {
  /** The class's name, as `error.name` shows it. */
  override readonly name = "FileError";
  /** The file or folder. */
  readonly path: string;

  /**
   * Creates the error.
   *
   * @param message What was attempted on which path, why it failed, and what to do.
   * @param path The file or folder.
   * @param options The underlying error as `cause`.
   * @throws {TypeError} If the path is not a string.
   */
  constructor(message: string, path: string, options?: ErrorOptions) {
    super(message, options);
    requireField("FileError", "path", typeof path === "string", "a string");
    this.path = path;
  }
}

/** Checks a field that code handling the error relies on. */
function requireField(error: string, field: string, holds: boolean, expected: string): void {
  if (!holds) throw new TypeError(`Cannot make a ${error}: its ${field} must be ${expected}`);
}
