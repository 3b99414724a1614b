import type { KernelContext, KernelSymbols, SymbolName } from "../../lib/ffi/mod.ts";
import { SYMBOLS } from "../../lib/ffi/symbols.ts";
import { inputsOf, type KernelCase } from "../../kernels/cases/case.ts";
import { isBeyond } from "../../kernels/cases/check.ts";
import { runCase } from "../../kernels/cases/placed_case.ts";

/** C++ that replays the calls of cases, with the contents of their buffers. */
export interface RecordedCalls {
  /** `static void case_0()` and so on; they use what `replay.cpp` defines. */
  readonly source: string;
  /** The concatenated contents of buffers. */
  readonly data: Uint8Array<ArrayBuffer>;
}

interface Block {
  readonly name: string;
  readonly base: bigint;
  readonly bytes: number;
}

/** The program handles the host's memory operations by other means. */
const NOT_REPLAYED = /memory|context|copy_(from|to)_host|pinned/;

/**
 * Runs cases and records their calls, since a thread checker cannot be loaded into Deno.
 *
 * @param kernels The device; its functions are replaced.
 * @param cases Cases.
 * @returns The calls.
 */
export function recordCalls(kernels: KernelContext, cases: readonly KernelCase[]): RecordedCalls {
  const recorder = new Recorder(kernels);
  const possible = cases.filter((each) => !isBeyond(kernels, each));
  const bodies = possible.map((each, i) =>
    `// ${each.name}\nstatic void case_${i}() {\n${recorder.record(kernels, each)}}\n`
  );
  const calls = possible.map((_, i) => `  case_${i}();\n`).join("");
  return { source: `${bodies.join("")}void replay() {\n${calls}}\n`, data: recorder.data() };
}

class Recorder {
  readonly #content: Uint8Array[] = [];
  #bytes = 0;
  #lines: string[] = [];
  #blocks: Block[] = [];

  constructor(kernels: KernelContext) {
    const allocate = kernels.allocate.bind(kernels);
    const write = kernels.writeBytes.bind(kernels);
    kernels.allocate = (bytes) => {
      const block = { name: `b${this.#blocks.length}`, base: allocate(bytes), bytes };
      this.#blocks.push(block);
      this.#lines.push(`uint64_t ${block.name} = allocate(${bytes});`);
      return block.base;
    };
    kernels.writeBytes = (address, bytes) => {
      write(address, bytes);
      this.#write(address, bytes);
    };
    kernels.symbols = new Proxy(kernels.symbols, {
      get: (symbols, name) => {
        const call: unknown = Reflect.get(symbols, name);
        if (typeof call !== "function" || NOT_REPLAYED.test(String(name))) return call;
        return (...values: unknown[]) => {
          this.#call(name as SymbolName, values);
          return call(...values);
        };
      },
    }) as KernelSymbols;
  }

  record(kernels: KernelContext, kernelCase: KernelCase): string {
    this.#lines = [];
    this.#blocks = [];
    runCase(kernels, kernelCase, inputsOf(kernelCase));
    return [...this.#lines, "free_all();", ""].join("\n");
  }

  data(): Uint8Array<ArrayBuffer> {
    const data = new Uint8Array(this.#bytes);
    let at = 0;
    for (const content of this.#content) {
      data.set(content, at);
      at += content.length;
    }
    return data;
  }

  #write(address: bigint, bytes: Uint8Array): void {
    const target = this.#place(address);
    this.#lines.push(`write(${target}, ${this.#bytes}, ${bytes.length});`);
    this.#content.push(bytes.slice());
    this.#bytes += bytes.length;
    // The optimizer's table holds addresses, which differ in the next process.
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let i = 0; i + 8 <= bytes.length; i += 8) {
      const place = this.#place(view.getBigUint64(i, true));
      if (place !== undefined) this.#lines.push(`write_address(${target} + ${i}, ${place});`);
    }
  }

  #call(name: SymbolName, values: readonly unknown[]): void {
    // The first is the context.
    const types: readonly string[] = SYMBOLS[name].parameters.slice(1);
    const list = types.map((type, i) => this.#argument(type, values[i + 1]));
    this.#lines.push(`check("${name}", ${name}(${["context", ...list].join(", ")}));`);
  }

  #argument(type: string, value: unknown): string {
    if (value === null) return "nullptr";
    if (type === "buffer") return `std::vector<int32_t>{${value}}.data()`;
    if (typeof value === "bigint") return this.#place(value) ?? `${value}ull`;
    const names = new Map<unknown, string>([[NaN, "NAN"], [Infinity, "INFINITY"]]);
    return names.get(value) ?? (value === -Infinity ? "-INFINITY" : String(value));
  }

  /** The program's name for an address; undefined if it is in no block. */
  #place(address: bigint): string | undefined {
    const block = this.#blocks.find(({ base, bytes }) =>
      address >= base && address < base + BigInt(bytes)
    );
    return block && `${block.name} + ${address - block.base}`;
  }
}
