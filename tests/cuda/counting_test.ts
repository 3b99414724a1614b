import { assertEquals } from "@std/assert";
import { CountingDevice, type Counts, type Space } from "../../bench/roofline/counting_device.ts";
import { countingLibrary, runCountingProbe } from "./counting_probe.ts";
import { missingCompiler, skipped } from "./emulator.ts";

/** A kernel, and how often its warps access memory, in units of the memory. */
interface Probe {
  readonly name: string;
  readonly body: string;
  readonly space: Space;
  /** Bytes of a lane; 4 by default. */
  readonly width?: number;
  readonly accesses: number;
  /** Sectors, or passes at the banks. */
  readonly units: number;
  readonly ideal: number;
}

const LOOP = "for (int k = i; k < 96; k += 32) g[k] = 1;";

const GLOBAL: readonly Probe[] = [
  probe("neighbours", "g[i] = 1;", 1, 4, 4),
  probe("every second float", "g[2 * i] = 1;", 1, 8, 4),
  probe("a column", "g[256 * i] = 1;", 1, 32, 4),
  probe("neighbours that begin within a sector", "g[i + 1] = 1;", 1, 5, 4),
  probe("one float for all", "sum = g[7];", 1, 1, 1),
  probe("half of the lanes", "if (i % 2 == 0) g[i / 2] = 1;", 1, 2, 2),
  probe("a loop whose lanes do not wait for each other", LOOP, 3, 12, 12),
  {
    ...probe(
      "16 bytes of each lane",
      "store_vector<float, 4>(g + 4 * i, {1, 2, 3, 4});",
      1,
      16,
      16,
    ),
    width: 16,
  },
];

const SHARED: readonly Probe[] = [
  banks("neighbours", "s[i] = 1;", 1, 1),
  banks("every second float", "s[2 * i] = 1;", 2, 1),
  banks("a column of 32", "s[32 * i] = 1;", 32, 1),
  banks("a column of 32, padded", "s[33 * i] = 1;", 1, 1),
  banks("one float for all", "sum = s[5];", 1, 1),
  {
    ...banks("16 bytes of each lane", "store_vector<float, 4>(s + 4 * i, {1, 2, 3, 4});", 4, 4),
    width: 16,
  },
  {
    ...banks("16 bytes in rows of 128", "store_vector<float, 4>(s + 32 * i, {1, 2, 3, 4});", 32, 4),
    width: 16,
  },
  matrices("ldmatrix of rows of 128 bytes", "i / 8 * 4", 32),
  matrices("ldmatrix of swizzled rows", "(i / 8 ^ i % 8) * 4", 4),
  matrices("ldmatrix of padded rows", "i / 8 * 4 + i % 8 * 4", 4),
];

function probe(
  name: string,
  body: string,
  accesses: number,
  units: number,
  ideal: number,
): Probe {
  return { name, body, space: "global", accesses, units, ideal };
}

function banks(name: string, body: string, units: number, ideal: number): Probe {
  return { name, body, space: "shared", accesses: 1, units, ideal };
}

/** The rows of ldmatrix, 128 bytes apart, begin at this float. */
function matrices(name: string, first: string, units: number): Probe {
  const body = `uint32_t to[4];
  load_matrices<false>(to, s + i % 8 * 32 + ${first});
  sum = static_cast<float>(to[0]);`;
  return { name, body, space: "matrices", width: 16, accesses: 1, units, ideal: 4 };
}

/** Kernels that the table cannot describe. */
const OTHERS = {
  twice: "sum = g[i] + g[i + 32]; __syncwarp(); sum += g[i] * g[32 + i];",
  copy: "copy_16(s + 4 * i, g + 4 * i, true); wait_copies();",
  mma: `float c[4] = {};
  const uint32_t a[4] = {};
  for (int k = 0; k < 3; k++) multiply_16x8x16(c, a, 0, 0);
  sum = c[0];`,
  wgmma: `float d[32] = {};
  const uint64_t m = descriptor(s, 16, 1024);
  wgmma_fence();
  for (int k = 0; k < 2; k++) wgmma<0, 0>(d, m, m, k);
  wgmma_commit();
  wgmma_wait<0>();
  sum = d[0];`,
} as const;

/** Sources of the runtime that call kernels outside of it. */
const ELSEWHERE = ["runtime/graphs.cu", "runtime/scratch_bytes.cu"];

const PROBES = [...GLOBAL, ...SHARED];
const BODIES = [...PROBES.map(({ body }) => body), ...Object.values(OTHERS)];

/** The sites of a probe in one memory, summed. */
function sitesOf({ kernels }: Counts, space: Space, width = 4) {
  const own = kernels[0]!.sites.filter((site) => site.space === space && site.width === width);
  const sum = (of: (site: typeof own[number]) => number) =>
    own.reduce((total, site) => total + of(site), 0);
  return {
    accesses: sum(({ accesses }) => accesses),
    units: sum(({ units }) => units),
    ideal: sum(({ ideal }) => ideal),
  };
}

Deno.test({
  name: `the counting build counts kernels whose traffic is known${skipped}`,
  ignore: missingCompiler !== undefined,
  async fn(t) {
    // The runtime and the probes alone: the kernels take minutes to compile.
    const opened = await CountingDevice.open({
      mutant: countingLibrary(BODIES),
      only: (path) => path.startsWith("runtime/") && !ELSEWHERE.includes(path),
    });
    if ("reason" in opened) throw new Error(opened.reason);
    using device = opened;
    const count = (n: number, threads = 32) =>
      device.count(() => runCountingProbe(device.kernels, n, threads));
    for (const [n, { name, space, width, body: _, ...expected }] of PROBES.entries()) {
      await t.step(`${space} memory: ${name}`, async () => {
        assertEquals(sitesOf(await count(n), space, width), expected);
      });
    }
    const other = (name: keyof typeof OTHERS, threads?: number) =>
      count(PROBES.length + Object.keys(OTHERS).indexOf(name), threads);
    await t.step("sectors that a launch reads again are distinct once", async () => {
      const counts = await other("twice");
      assertEquals(counts.kernels[0]!.distinctRead, 8);
      assertEquals(sitesOf(counts, "global").units, 16);
    });
    await t.step("a copy of 16 bytes reads global and writes shared memory", async () => {
      const counts = await other("copy");
      assertEquals(sitesOf(counts, "global", 16), { accesses: 1, units: 16, ideal: 16 });
      assertEquals(sitesOf(counts, "shared", 16), { accesses: 1, units: 4, ideal: 4 });
    });
    await t.step("operations of mma and wgmma", async () => {
      assertEquals((await other("mma")).kernels[0]!.operations, 3 * 2 * 16 * 8 * 16);
      assertEquals((await other("wgmma", 128)).kernels[0]!.operations, 2 * 2 * 64 * 64 * 16);
    });
    await t.step("kernels and lines by name", async () => {
      const { name, sites } = (await count(0)).kernels[0]!;
      assertEquals(name, "probe_0");
      assertEquals(sites[0]!.places.at(-1)!.line.replace(/:\d+$/, ""), "runtime/probes.cu");
    });
  },
});
