/**
 * Compiles and links only what has changed.
 *
 * @module
 */

import { availableCores } from "../../lib/machine.ts";
import { type Compiler, run } from "./cuda_toolchain.ts";

/** A source and how it is compiled. */
export interface Unit {
  /** The file. */
  readonly source: string;
  /** The headers it reads: a change in one compiles it again. */
  readonly headers: readonly string[];
  /** Flags, including the language. */
  readonly flags: readonly string[];
  /** What the compiler may not say, though it does not fail for it. */
  readonly refused?: RegExp;
}

/** A library to link. */
export interface Library {
  /** Its path. */
  readonly path: string;
  /** Its sources. */
  readonly units: readonly Unit[];
  /** Linker flags. */
  readonly linkFlags: readonly string[];
}

/** A compiler or linker failed. */
export class CompileError extends Error {
  /** Always `CompileError`. */
  override readonly name = "CompileError";
}

/**
 * Builds a library, reusing every object whose source, headers, flags and compiler are unchanged.
 *
 * @param compiler Compiles and links.
 * @param library The library to build.
 * @param objects The folder of the objects.
 * @returns Whether anything had to be done, and the objects in the units' order.
 * @throws {CompileError} With the compiler's output.
 */
export async function buildLibrary(
  compiler: Compiler,
  library: Library,
  objects: string,
): Promise<{ readonly changed: boolean; readonly objects: readonly string[] }> {
  await Deno.mkdir(objects, { recursive: true });
  const paths = await inParallel(library.units, (unit) => compileUnit(compiler, unit, objects));
  const key = await hash([compiler.version, ...library.linkFlags, ...paths]);
  const keyFile = `${library.path}.key`;
  if (await readOrEmpty(keyFile) === key && await exists(library.path)) {
    return { changed: false, objects: paths };
  }
  await intoPlace(library.path, (temporary) =>
    check(compiler, [
      ...compiler.arguments,
      ...["-shared", ...paths, ...library.linkFlags, "-o", temporary],
    ]));
  await intoPlace(keyFile, (temporary) => Deno.writeTextFile(temporary, key));
  return { changed: true, objects: paths };
}

async function compileUnit(
  compiler: Compiler,
  { source, headers, flags, refused }: Unit,
  objects: string,
): Promise<string> {
  const texts = await Promise.all([source, ...headers].map((file) => Deno.readTextFile(file)));
  const key = await hash([compiler.version, source, ...texts, ...flags]);
  const name = source.slice(source.lastIndexOf("/") + 1);
  const object = `${objects}/${name}.${key.slice(0, 16)}.o`;
  if (await exists(object)) return object;
  await intoPlace(
    object,
    (temporary) =>
      check(compiler, [...compiler.arguments, ...flags, "-c", source, "-o", temporary], refused),
  );
  return object;
}

/**
 * Writes to a temporary name and renames, so a file is complete or missing.
 *
 * @param path The file.
 * @param write Writes to the path it is given.
 */
export async function intoPlace(
  path: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    await write(temporary);
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

async function check(
  { command }: Compiler,
  args: readonly string[],
  refused?: RegExp,
): Promise<void> {
  const { success, stdout, stderr } = await run(command, args);
  if (!success || refused?.test(stdout + stderr) === true) {
    throw new CompileError(`${command} ${args.join(" ")} failed:\n${stdout}${stderr}`);
  }
}

/**
 * Runs as many at a time as there are processors.
 *
 * @param items What to work on.
 * @param work What to do with each.
 * @returns The results in the items' order.
 */
export async function inParallel<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]!);
    }
  };
  const workers = Math.min(availableCores(), items.length);
  await Promise.all(Array.from({ length: workers }, worker));
  return results;
}

/**
 * Hashes texts, and where one ends and the next begins.
 *
 * @param parts The texts.
 * @returns Hexadecimal digits.
 */
export async function hash(parts: readonly string[]): Promise<string> {
  const bytes = new TextEncoder().encode(parts.join("\0"));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return digest.toHex();
}

/**
 * Whether there is a file.
 *
 * @param path The file.
 * @returns True if it is there.
 */
export async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function readOrEmpty(path: string): Promise<string> {
  return await Deno.readTextFile(path).catch(() => "");
}
