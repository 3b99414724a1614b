/**
 * What a kernel's machine code consists of, read from the listings of `cuobjdump`.
 *
 * @module
 */

/** Numbers of instructions by operation; of an access to memory also by bits: `LDG.128`. */
export type Counts = Readonly<Record<string, number>>;

/** A kernel as compiled for one target. */
export interface MachineCode {
  /** Its mangled name. */
  readonly symbol: string;
  /** `sm_80` or `sm_90a`. */
  readonly target: string;
  /** All of its instructions. */
  readonly all: Counts;
  /** Those of the innermost loop with most of its arithmetic; null: it has no such loop. */
  readonly loop: Counts | null;
}

/** What a kernel needs per thread and per block. */
export interface Resources {
  /** Its mangled name. */
  readonly symbol: string;
  /** `sm_80` or `sm_90a`. */
  readonly target: string;
  /** Registers per thread. */
  readonly registers: number;
  /** Bytes of local memory per thread: arrays that did not fit registers. */
  readonly stack: number;
  /** Bytes of shared memory per block that the compiler knows of; kernels may ask for more. */
  readonly shared: number;
}

/** Accesses to memory, whose width is in the operation's suffixes. */
const ACCESSES = ["LD", "ST", "LDG", "STG", "LDS", "STS", "LDL", "STL", "LDGSTS"];

/** Arithmetic that a main loop is there for, the most telling first. */
const ARITHMETIC = ["HGMMA", "HMMA", "FFMA"];

/** One instruction; cuobjdump prints its encoding on the same line and the next. */
const INSTRUCTION =
  /^\s+\/\*([0-9a-f]{4,})\*\/\s+(?:@!?U?P[0-9T]+\s+)?([A-Z][A-Z0-9_]*)((?:\.[\w]+)*)([^;]*);/;

interface Instruction {
  readonly address: number;
  readonly operation: string;
  /** Where a branch goes, else null. */
  readonly branch: number | null;
}

/**
 * Reads a listing of `cuobjdump -sass`.
 *
 * @param listing Its output.
 * @returns Every kernel of every target.
 */
export function readMachineCode(listing: string): MachineCode[] {
  const kernels: MachineCode[] = [];
  let target = "";
  let symbol: string | null = null;
  let code: Instruction[] = [];
  const finish = (): void => {
    if (symbol !== null) kernels.push({ symbol, target, all: count(code), loop: mainLoop(code) });
    symbol = null;
    code = [];
  };
  for (const line of listing.split("\n")) {
    const instruction = line.match(INSTRUCTION);
    if (instruction !== null) {
      code.push(readInstruction(instruction));
      continue;
    }
    const start = line.match(/^\s+Function : (\S+)|^\s+code for (\S+)/);
    if (start === null) continue;
    finish();
    if (start[1] !== undefined) symbol = start[1];
    else target = start[2]!;
  }
  finish();
  return kernels;
}

/**
 * Reads a listing of `cuobjdump -res-usage`.
 *
 * @param listing Its output.
 * @returns Every kernel of every target.
 */
export function readResources(listing: string): Resources[] {
  const resources: Resources[] = [];
  let target = "";
  let symbol = "";
  for (const line of listing.split("\n")) {
    target = line.match(/^arch = (\S+)/)?.[1] ?? target;
    symbol = line.match(/^ Function (\S+):$/)?.[1] ?? symbol;
    const usage = line.match(/^\s+REG:(\d+) STACK:(\d+) SHARED:(\d+)/);
    if (usage === null) continue;
    const [registers, stack, shared] = usage.slice(1).map(Number) as [number, number, number];
    resources.push({ symbol, target, registers, stack, shared });
  }
  return resources;
}

function readInstruction(
  [, address, base, suffixes, operands]: readonly string[],
): Instruction {
  const branch = base === "BRA" ? operands!.match(/0x([0-9a-f]+)/) : null;
  return {
    address: parseInt(address!, 16),
    operation: ACCESSES.includes(base!) ? `${base}.${bits(suffixes!)}` : base!,
    branch: branch === null ? null : parseInt(branch[1]!, 16),
  };
}

/** The width of an access, which is of 32 bits unless it says otherwise. */
function bits(suffixes: string): string {
  return suffixes.match(/\.[US]?(128|64|16|8)(?=\.|$)/)?.[1] ?? "32";
}

function count(code: readonly Instruction[]): Counts {
  const counts: Record<string, number> = {};
  for (const { operation } of code) counts[operation] = (counts[operation] ?? 0) + 1;
  return counts;
}

/**
 * The loop without a loop inside that has most of the first kind of arithmetic there is. Blocks that
 * the compiler moved out of the loop are not counted.
 */
function mainLoop(code: readonly Instruction[]): Counts | null {
  const kind = ARITHMETIC.find((kind) => code.some(({ operation }) => operation === kind));
  if (kind === undefined) return null;
  const loops = code.flatMap(({ address, branch }) =>
    branch !== null && branch < address ? [{ from: branch, to: address }] : []
  ).map(({ from, to }) => ({
    from,
    to,
    counts: count(code.filter(({ address }) => from <= address && address <= to)),
  })).filter(({ counts }) => counts[kind] !== undefined);
  const innermost = loops.filter((outer) =>
    !loops.some((inner) => inner !== outer && outer.from <= inner.from && inner.to <= outer.to)
  );
  return innermost.sort((a, b) => b.counts[kind]! - a.counts[kind]!)[0]?.counts ?? null;
}
