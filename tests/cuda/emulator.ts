/** The emulated CUDA library, with controls for tests. */

import { KernelContext, openLibrary } from "../../lib/ffi/mod.ts";
import { buildEmulated, type Mutant } from "../../kernels/tools/build_cuda.ts";
import { findCppCompiler, type Missing, run } from "../../kernels/tools/cuda_toolchain.ts";

/** The order in which a block's runnable threads, and a grid's blocks, proceed. */
export const Order = { forward: 0, reverse: 1, random: 2, priority: 3 } as const;

/** Ten times the compute capability that the emulated device poses as. */
export type Capability = 80 | 90;

/** How the emulated device schedules work. */
export interface Schedule {
  /** One of {@linkcode Order}; default forward. */
  readonly order?: number;
  /** Seed of the random choices; default 1. */
  readonly seed?: number;
  /** Whether work is deferred until the host waits, and streams may overtake each other. */
  readonly deferred?: boolean;
}

const CONTROLS = {
  emu_configure: { parameters: ["i32", "u64", "i32"], result: "void" },
  emu_pose: { parameters: ["i32"], result: "void" },
  emu_reports: { parameters: ["buffer", "u64"], result: "i32" },
  emu_clear_reports: { parameters: [], result: "void" },
  emu_reset: { parameters: [], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** An open context of the emulated library; closing it restores the device's settings. */
export class Emulator implements Disposable {
  readonly context: KernelContext;
  readonly path: string;
  readonly #controls: Deno.DynamicLibrary<typeof CONTROLS>;

  constructor(path: string, capability: Capability = 80) {
    this.path = path;
    const library = openLibrary(path);
    this.#controls = Deno.dlopen(path, CONTROLS);
    this.#restore();
    this.#controls.symbols.emu_pose(capability);
    try {
      this.context = KernelContext.create(library, { ownsLibrary: true });
    } catch (error) {
      library.close();
      this.#controls.close();
      throw error;
    }
  }

  /** Sets the schedule for everything launched from now on. */
  configure({ order = Order.forward, seed = 1, deferred = false }: Schedule): void {
    this.#controls.symbols.emu_configure(order, BigInt(seed), deferred ? 1 : 0);
  }

  /** The emulator's complaints so far, one line each, with code addresses. */
  reports(): string[] {
    const needed = this.#controls.symbols.emu_reports(new Uint8Array(0), 0n);
    const bytes = new Uint8Array(needed);
    this.#controls.symbols.emu_reports(bytes, BigInt(needed));
    return new TextDecoder().decode(bytes).split("\n").filter((line) => line !== "");
  }

  /** The reports with source lines in place of code addresses. */
  async locatedReports(): Promise<string[]> {
    return await Promise.all(
      this.reports().map(async (line) => {
        const offset = line.match(/\S+\.so\+(0x[0-9a-f]+)/);
        if (offset === null) return line;
        const { stdout } = await run("addr2line", ["-e", this.path, offset[1]!]);
        const place = stdout.trim().replace(/^.*\//, "");
        return place === "" ? line : line.replace(offset[0], place);
      }),
    );
  }

  clearReports(): void {
    this.#controls.symbols.emu_clear_reports();
  }

  [Symbol.dispose](): void {
    this.context.close();
    this.#restore();
    this.#controls.close();
  }

  #restore(): void {
    this.configure({});
    this.#controls.symbols.emu_pose(80);
    this.#controls.symbols.emu_reset();
    this.#controls.symbols.emu_clear_reports();
  }
}

const compiler = await findCppCompiler();

/** Why the emulated library cannot be built here, or undefined. */
export const missingCompiler: string | undefined = (compiler as Missing).reason;

/** Suffix for the names of tests that are ignored for lack of a compiler. */
export const skipped = missingCompiler === undefined ? "" : ` [skipped: ${missingCompiler}]`;

/**
 * Builds the emulated library if its sources changed, and opens it.
 *
 * @param options Whether accesses are checked, what is broken on purpose, and the device's
 * capability.
 * @returns The open device.
 */
export async function openEmulator(
  options: {
    readonly race?: boolean;
    readonly mutant?: Mutant;
    readonly capability?: Capability;
  } = {},
): Promise<Emulator> {
  const built = await buildEmulated(options);
  if (built.kind === "skipped") throw new Error(`Cannot build the emulator: ${built.reason}`);
  return new Emulator(built.path, options.capability);
}
