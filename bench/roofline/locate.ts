/** Finds the sources of addresses in a library's code. @module */

/** A place in the sources. */
export interface Place {
  /** The function, demangled. */
  readonly function: string;
  /** The file and line, `gemm/few_rows.h:78`. */
  readonly line: string;
}

/**
 * Finds the places of addresses.
 *
 * @param library The library, built with line tables.
 * @param codes Offsets in it; 0 stands for none.
 * @returns The places of each, innermost first: a function, and those that it is inlined into.
 */
export async function locate(
  library: string,
  codes: readonly number[],
): Promise<ReadonlyMap<number, readonly Place[]>> {
  const wanted = [...new Set(codes.filter((code) => code !== 0))];
  const found = new Map<number, Place[]>();
  if (wanted.length === 0) return found;
  const child = new Deno.Command("addr2line", {
    args: ["-a", "-f", "-C", "-i", "-e", library],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const output = child.output();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(wanted.map((code) => `${hex(code)}\n`).join("")));
  await writer.close();
  const lines = new TextDecoder().decode((await output).stdout).trimEnd().split("\n");
  let places: Place[] = [];
  for (let i = 0; i < lines.length; i++) {
    if (/^0x[0-9a-f]+$/.test(lines[i]!)) {
      places = [];
      found.set(Number(lines[i]), places);
    } else {
      places.push({ function: lines[i]!, line: shortened(lines[++i] ?? "?") });
    }
  }
  return found;
}

function hex(code: number): string {
  return `0x${code.toString(16)}`;
}

/** A line without the folders above those of the kernels, and without what addr2line remarks. */
function shortened(line: string): string {
  return line.replace(/^.*\/(?:cuda|kernels)\//, "").replace(/ \(discriminator \d+\)$/, "");
}

/**
 * Shortens a demangled name.
 *
 * @param demangled `void remoe::(anonymous namespace)::fill_kernel<float>(float*, int)`.
 * @returns `fill_kernel`.
 */
export function functionName(demangled: string): string {
  const plain = demangled.replaceAll("(anonymous namespace)", "");
  const end = plain.search(/[<(]/);
  const words = (end < 0 ? plain : plain.slice(0, end)).split(/[\s:]+/);
  return words.at(-1) ?? demangled;
}
