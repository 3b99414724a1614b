/**
 * Disassembles the objects of the CUDA library, each once.
 *
 * @module
 */

import { type Compiler, run } from "../cuda_toolchain.ts";
import { CompileError, hash, inParallel, intoPlace } from "../compile_cached.ts";
import { type MachineCode, readMachineCode, readResources, type Resources } from "./listing.ts";

/** An object of the library. */
export interface CudaObject {
  /** Path of its source in `kernels/cuda`. */
  readonly source: string;
  /** The file. */
  readonly object: string;
}

/** A kernel as compiled for one target. */
export interface Kernel extends MachineCode, Resources {
  /** Path of its source in `kernels/cuda`. */
  readonly source: string;
  /** Its name without parameters and the namespaces that are everywhere. */
  readonly name: string;
}

/**
 * Disassembles the kernels of objects. What an object holds is kept beside it.
 *
 * @param disassembler cuobjdump.
 * @param objects The objects.
 * @returns Their kernels for every target.
 * @throws {CompileError} If an object cannot be read.
 */
export async function disassemble(
  disassembler: Compiler,
  objects: readonly CudaObject[],
): Promise<Kernel[]> {
  const reader = await Deno.readTextFile(new URL("./listing.ts", import.meta.url));
  const key = (await hash([disassembler.version, reader])).slice(0, 8);
  const perObject = await inParallel(objects, async ({ source, object }) => {
    const kept = `${object}.${key}.json`;
    const text = await Deno.readTextFile(kept).catch(() => undefined);
    const codes = text === undefined
      ? await readObject(disassembler, object)
      : JSON.parse(text) as (MachineCode & Resources)[];
    if (text === undefined) {
      await intoPlace(kept, (path) => Deno.writeTextFile(path, JSON.stringify(codes)));
    }
    return codes.map((code) => ({ source, ...code }));
  });
  const codes = perObject.flat();
  const names = await demangle(codes.map(({ symbol }) => symbol));
  return codes.map((code, i) => ({ ...code, name: names[i]! }));
}

async function readObject(
  disassembler: Compiler,
  object: string,
): Promise<(MachineCode & Resources)[]> {
  const resources = readResources(await dump(disassembler, "-res-usage", object));
  if (resources.length === 0) return [];
  return readMachineCode(await dump(disassembler, "-sass", object)).map((code) => {
    const own = resources.find(({ symbol, target }) =>
      symbol === code.symbol && target === code.target
    );
    if (own === undefined) throw new CompileError(`${object} has no resources of ${code.symbol}`);
    return { ...code, ...own };
  });
}

async function dump({ command }: Compiler, what: string, object: string): Promise<string> {
  const { success, stdout, stderr } = await run(command, [what, object]);
  if (success) return stdout;
  // An object of the host alone.
  if (/does not contain device code/.test(stderr)) return "";
  throw new CompileError(`${command} ${what} ${object} failed:\n${stderr}`);
}

/** Names for people: `grouped_product_kernel<Product<true, SwiGlu> >`. */
async function demangle(symbols: readonly string[]): Promise<string[]> {
  const list = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(list, symbols.join("\n") + "\n");
    const { success, stdout } = await run("c++filt", [`@${list}`]);
    if (!success) throw new CompileError("c++filt of binutils cannot be run");
    return stdout.trimEnd().split("\n").map((name) =>
      name
        .replaceAll("(anonymous namespace)::", "")
        .replaceAll(/\b(remoe|grouped|flash|extend)::/g, "")
        .replace(/^void /, "")
        .replace(/\(.*/, "")
    );
  } finally {
    await Deno.remove(list);
  }
}
