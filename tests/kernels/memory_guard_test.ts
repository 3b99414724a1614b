import { assertEquals, assertMatch } from "@std/assert";
import { inChild } from "./in_child.ts";

const MEBIBYTE = 2 ** 20;

/** AddressSanitizer would catch what these tests do before the guard can. */
const ignore = Deno.env.has("ASAN_OPTIONS");

const IMPORTS = `
import { Status } from "./lib/ffi/mod.ts";
import { openKernels } from "./tests/kernels/open_library.ts";
const says = (work: () => void): string => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return String(error);
  }
};
`;

/** Runs `body`, which sets `report`, with a guarded pool, and returns the report. */
async function guarded(body: string): Promise<unknown> {
  const text = `${IMPORTS}${body}\nconsole.log(JSON.stringify(report));`;
  return JSON.parse(await inChild({ REMOE_MEMORY_GUARD: "1" }, text));
}

/**
 * Copies `bytes` to `offset` from the start of a new block, and returns the message on freeing it.
 */
function overwritten(size: number, offset: number, bytes: number): Promise<unknown> {
  return guarded(`
    const kernels = openKernels();
    const block = kernels.allocate(${size});
    kernels.writeBytes(block + BigInt(${offset}), new Uint8Array(${bytes}));
    const report = [says(() => kernels.statistics()), says(() => kernels.free([block]))];
    report.push(says(() => kernels.statistics()));
    kernels.close();
  `);
}

for (const size of [100, 4096, 3 * MEBIBYTE]) {
  const name = `REMOE_MEMORY_GUARD finds a copy that leaves a block of ${size} bytes`;
  Deno.test({ name, ignore }, async () => {
    for (
      const [offset, bytes, wrong] of [[0, size + 1, size], [-8, 8, -8], [
        size + 64,
        4,
        size + 64,
      ]] as const
    ) {
      const [live, freed, after] = await overwritten(size, offset, bytes) as string[];
      const place = new RegExp(`INTERNAL.*a block of ${size} bytes .* offset ${wrong},`, "i");
      assertMatch(live!, place);
      assertMatch(freed!, place);
      assertEquals(after, "nothing", "a fault is reported once");
    }
  });
}

Deno.test("REMOE_MEMORY_GUARD keeps blocks writable to the end, and aligned", async () => {
  const report = await guarded(`
    using kernels = openKernels();
    const report: unknown[] = [];
    for (const size of [1, 63, 64, 4097, 2 ** 21 - 1, 2 ** 21, 2 ** 21 + 1]) {
      const block = kernels.allocate(size);
      report.push(Number(block % (size < 2 ** 21 ? 64n : 2n ** 21n)));
      kernels.writeBytes(block, new Uint8Array(size));
      kernels.free([block]);
    }
    report.push(kernels.statistics().inUse);
  `);
  assertEquals(report, [0, 0, 0, 0, 0, 0, 0, 0]);
});

Deno.test(
  { name: "REMOE_MEMORY_GUARD fills fresh and freed memory with NaN", ignore },
  async () => {
    const report = await guarded(`
    using kernels = openKernels();
    const numbers = new Float32Array(16);
    const read = (block: bigint): number[] => {
      kernels.readBytes(block, new Uint8Array(numbers.buffer));
      return [...numbers.map((x) => Number.isNaN(x) ? 1 : 0)];
    };
    const block = kernels.allocate(64);
    const report = [read(block)];
    kernels.writeBytes(block, new Uint8Array(64));
    report.push(read(block));
    kernels.free([block]);
    report.push(read(block));
  `);
    const [ones, zeros] = [1, 0].map((value) => Array<number>(16).fill(value));
    assertEquals(report, [ones, zeros, ones]);
  },
);

Deno.test(
  { name: "closing a context reports a damaged block in its status", ignore },
  async () => {
    const report = await guarded(`
    const report = [0, 100].map((extra) => {
      const kernels = openKernels();
      kernels.writeBytes(kernels.allocate(100), new Uint8Array(100 + extra));
      const status = kernels.symbols.remoe_context_destroy(kernels.handle);
      kernels.close();
      return status;
    });
  `);
    assertEquals(report, [0, 8]);
  },
);

Deno.test("REMOE_MEMORY_LIMIT bounds a context's memory, which stays usable", async () => {
  const limit = 16 * MEBIBYTE;
  const body = `${IMPORTS}
    using kernels = openKernels();
    const most = ${limit} / 2;
    const report = [says(() => kernels.free([kernels.allocate(most)]))];
    report.push(says(() => kernels.allocate(2 * most + 1)));
    report.push(says(() => kernels.free([kernels.allocate(2 * most)])));
    report.push(String(kernels.statistics().held <= ${limit}));
    console.log(JSON.stringify(report));
  `;
  const report = JSON.parse(await inChild({ REMOE_MEMORY_LIMIT: String(limit) }, body));
  assertEquals([report[0], report[2], report[3]], ["nothing", "nothing", "true"]);
  assertMatch(report[1], new RegExp(`REMOE_MEMORY_LIMIT=${limit} .*${limit + 1} bytes`));
});

Deno.test("invalid environment variables are refused when a context opens", async () => {
  const body = `${IMPORTS}
    console.log(says(() => openKernels().close()));
  `;
  const names = { REMOE_MEMORY_LIMIT: ["1 GB", "-1", "0"], REMOE_MEMORY_GUARD: ["yes"] };
  for (const [name, values] of Object.entries(names)) {
    for (const value of values) {
      assertMatch(await inChild({ [name]: value }, body), new RegExp(`${name} is "${value}"`));
    }
  }
});
