/** The CUDA sources on an emulated device that counts what they ask of a GPU. @module */

import { buildEmulated, type Mutant } from "../../kernels/tools/build_cuda.ts";
import { KernelContext, openLibrary } from "../../lib/ffi/mod.ts";
import { functionName, locate, type Place } from "./locate.ts";

const CONTROLS = {
  emu_pose: { parameters: ["i32"], result: "void" },
  emu_multiprocessors: { parameters: ["i32"], result: "void" },
  emu_counts: { parameters: ["buffer", "u64"], result: "i32" },
  emu_clear_counts: { parameters: [], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** What the emulator poses as unless told otherwise: an H100 or H200. */
const HOPPER = { capability: 90, multiprocessors: 132 } as const;

/** Memory that an instruction accesses; `matrices`: shared memory, by ldmatrix. */
export type Space = "global" | "shared" | "matrices";

/** What an instruction of a kernel did, summed over warps. */
export interface SiteCounts {
  /** The memory. */
  readonly space: Space;
  /** Whether it writes. */
  readonly write: boolean;
  /** Bytes that each lane accesses; 0 for a copy of a box, which no lane makes. */
  readonly width: number;
  /** Times that a warp executed it. */
  readonly accesses: number;
  /** Bytes, summed over lanes. */
  readonly laneBytes: number;
  /** Bytes of global memory; what the lanes of an access share counts once. */
  readonly bytes: number;
  /** Sectors of 32 bytes of global memory, or passes at the banks of shared memory. */
  readonly units: number;
  /** The fewest units that the same bytes could take. */
  readonly ideal: number;
  /** Where it is in the sources, innermost function first; empty for boxes. */
  readonly places: readonly Place[];
}

/** What a kernel did. */
export interface KernelCounts {
  /** Its name, without namespaces and template arguments. */
  readonly name: string;
  /** Launches. */
  readonly launches: number;
  /** Blocks of all launches. */
  readonly blocks: number;
  /** Floating-point operations of tensor cores. */
  readonly operations: number;
  /** Sectors read, each once per launch. */
  readonly distinctRead: number;
  /** Sectors written, each once per launch. */
  readonly distinctWritten: number;
  /** Its instructions that access memory. */
  readonly sites: readonly SiteCounts[];
}

/** What some calls did. */
export interface Counts {
  /** Bytes copied within device memory by no kernel. */
  readonly copied: number;
  /** The kernels. */
  readonly kernels: readonly KernelCounts[];
}

type Raw<T> = Omit<T, "name" | "places" | "sites"> & { readonly code: number };
interface RawCounts {
  readonly copied: number;
  readonly kernels: readonly (Raw<KernelCounts> & { readonly sites: readonly Raw<SiteCounts>[] })[];
}

/** An open context of the counting library. Results of tensor cores are left out: they are 0. */
export class CountingDevice implements Disposable {
  /** The context. */
  readonly kernels: KernelContext;
  readonly #path: string;
  readonly #controls: Deno.DynamicLibrary<typeof CONTROLS>;

  private constructor(path: string, capability: number) {
    this.#path = path;
    const library = openLibrary(path);
    this.#controls = Deno.dlopen(path, CONTROLS);
    this.#controls.symbols.emu_pose(capability);
    this.#controls.symbols.emu_multiprocessors(HOPPER.multiprocessors);
    this.kernels = KernelContext.create(library, { ownsLibrary: true });
  }

  /**
   * Builds the library if its sources changed, and opens it.
   *
   * @param options Sources that replace others, which of them to build, and the compute capability
   * times ten to pose as, by default an H200's.
   * @returns The device, or why there is none.
   */
  static async open(
    options: {
      readonly mutant?: Mutant;
      readonly only?: (path: string) => boolean;
      readonly capability?: 80 | 90;
    } = {},
  ): Promise<CountingDevice | { readonly reason: string }> {
    const { capability = HOPPER.capability, ...sources } = options;
    const built = await buildEmulated({ counting: true, ...sources });
    if (built.kind === "skipped") return built;
    return new CountingDevice(built.path, capability);
  }

  /**
   * Counts what some calls ask of the device.
   *
   * @param work Makes the calls.
   * @returns The counts.
   */
  async count(work: () => void): Promise<Counts> {
    this.#controls.symbols.emu_clear_counts();
    work();
    const { symbols, handle } = this.kernels;
    this.kernels.check(symbols.remoe_synchronize(handle), "synchronize");
    return await this.#named(this.#read());
  }

  [Symbol.dispose](): void {
    this.kernels.close();
    this.#controls.close();
  }

  #read(): RawCounts {
    const needed = this.#controls.symbols.emu_counts(new Uint8Array(0), 0n);
    const bytes = new Uint8Array(needed);
    this.#controls.symbols.emu_counts(bytes, BigInt(needed));
    return JSON.parse(new TextDecoder().decode(bytes));
  }

  async #named({ copied, kernels }: RawCounts): Promise<Counts> {
    const codes = kernels.flatMap(({ code, sites }) => [code, ...sites.map((site) => site.code)]);
    const places = await locate(this.#path, codes);
    const placesOf = (code: number) => places.get(code) ?? [];
    return {
      copied,
      kernels: kernels.map(({ code, sites, ...kernel }) => ({
        ...kernel,
        name: functionName(placesOf(code).at(-1)?.function ?? "?"),
        sites: sites.map(({ code, ...site }) => ({ ...site, places: placesOf(code) })),
      })),
    };
  }
}
