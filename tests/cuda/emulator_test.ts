import { assert, assertEquals, assertThrows } from "@std/assert";
import { DeviceError } from "../../lib/errors.ts";
import { missingCompiler, openEmulator, Order, skipped } from "./emulator.ts";
import { BLOCKS, probeLibrary, runProbe, THREADS } from "./probe.ts";

const ignore = missingCompiler !== undefined;

interface Probe {
  /** What it does, phrased as the end of a sentence. */
  readonly does: string;
  readonly body: string;
}

/** Code with a well-defined result on a GPU, and that result. */
const SOUND: readonly (Probe & { readonly expected: (i: number, b: number) => number })[] = [
  {
    does: "shuffles",
    body: `out[b * 64 + i] = __shfl_xor_sync(~0u, i, 1) + 100 * __shfl_up_sync(~0u, i, 2) +
        10000 * __shfl_down_sync(~0u, i % 32, 3) + 1000000 * __shfl_sync(~0u, i / 32, 5);`,
    expected: (i) => {
      const lane = i % 32;
      const down = lane + 3 > 31 ? lane : lane + 3;
      return (i ^ 1) + 100 * (lane < 2 ? i : i - 2) + 10000 * down + 1000000 * Math.floor(i / 32);
    },
  },
  {
    does: "votes and matches",
    body: `const unsigned odd = __ballot_sync(~0u, i % 2), same = __match_any_sync(~0u, i % 4);
      out[b * 64 + i] = __popc(odd) + 100 * __popc(same) + 10000 * (__ffs(same) - 1);`,
    expected: (i) => 16 + 100 * 8 + 10000 * (i % 4),
  },
  {
    does: "passes values through shared memory with a barrier",
    body: "s[i] = i; __syncthreads(); out[b * 64 + i] = s[63 - i];",
    expected: (i) => 63 - i,
  },
  {
    does: "passes values inside a warp with __syncwarp",
    body: "s[i] = i; __syncwarp(); out[b * 64 + i] = s[i ^ 1]; __syncwarp(); s[i] = 0;",
    expected: (i) => i ^ 1,
  },
  {
    does: "overwrites what a whole warp has read",
    body: `if (i % 32 == 0) s[i] = 7;
      __syncwarp();
      out[b * 64 + i] = s[i / 32 * 32];
      __syncwarp();
      if (i % 32 == 0) s[i] = 8;`,
    expected: () => 7,
  },
  {
    does: "counts with atomics and reads after a barrier",
    body: `if (i == 0) s[0] = 0;
      __syncthreads();
      atomicAdd(&s[0], i);
      __syncthreads();
      out[b * 64 + i] = s[0];`,
    expected: () => 2016,
  },
  {
    does: "adds to one counter from all blocks",
    body: "atomicAdd(&out[0], 1);",
    expected: (i, b) => i + b === 0 ? BLOCKS * THREADS : 0,
  },
  {
    does: "lets threads leave before a barrier",
    body: "if (i >= 32) return; s[i] = i; __syncthreads(); out[b * 64 + i] = s[31 - i];",
    expected: (i) => i < 32 ? 31 - i : 0,
  },
];

/** Racy code, with the checker's name for the race. */
const RACES: readonly (Probe & { readonly report: string })[] = [
  {
    does: "reads shared memory without a barrier",
    body: "s[i] = i;\nout[b * 64 + i] = s[63 - i];",
    report: "shared memory at probe_",
  },
  {
    does: "trusts a shuffle to order memory",
    body: "s[i] = i;\n__shfl_sync(~0u, i, 0);\nout[b * 64 + i] = s[i ^ 1];",
    report: "read-after-write race in shared memory at probe_",
  },
  {
    does: "trusts __syncwarp between warps",
    body: "s[i] = i;\n__syncwarp();\nout[b * 64 + i] = s[i ^ 32];",
    report: "shared memory at probe_",
  },
  {
    does: "overwrites what others may still read",
    body: "if (i == 0) s[0] = 1;\n__syncthreads();\nout[b * 64 + i] = s[0];\nif (i == 5) s[0] = 2;",
    report: "race in shared memory at probe_",
  },
  {
    does: "writes one value from two blocks",
    body: "if (i == 0) out[0] = 1;",
    report: "write-after-write race in global memory at probe_",
  },
  {
    does: "reads a counter that others still add to",
    body: "atomicAdd(&out[0], 1);\nif (i == 9) out[1 + b] = out[0];",
    report: "race in global memory at probe_",
  },
  {
    does: "adds atomically to what another thread sets",
    body: "if (i == 0) s[0] = 0;\natomicAdd(&s[0], 1);",
    report: "shared memory at probe_",
  },
  {
    does: "reads shared memory that nobody wrote",
    body: "out[b * 64 + i] = s[i];",
    report: "uninitialised read in shared memory at probe_",
  },
  {
    does: "writes past the launch's shared memory",
    body: "s[i + 1] = i;",
    report: "out-of-bounds write in shared memory at probe_",
  },
  {
    does: "writes past a block of device memory",
    body: "out[b * 64 + i + 1] = i;",
    report: "out-of-bounds write in global memory at probe_",
  },
];

/** Code that aborts the launch in either build, with the error's text. */
const FAULTS: readonly (Probe & { readonly text: string })[] = [
  {
    does: "meets at different barriers",
    body: "if (i < 32) __syncthreads();\nelse\n__syncthreads();",
    text: "threads meet at different barriers: ",
  },
  {
    does: "waits for a lane that never comes",
    body: "if (i % 32 != 3) __syncwarp();\nelse __syncthreads();",
    text: "deadlock: ",
  },
  {
    does: "meets in different collectives",
    body: "if (i % 2) __ballot_sync(~0u, 1);\nelse __shfl_sync(~0u, i, 0);",
    text: "lanes of a warp meet in different collectives: ",
  },
  {
    does: "names a lane that has left",
    body: "if (i % 32 == 31) return;\n__syncthreads();\n__ballot_sync(~0u, 1);",
    text: "a warp collective's mask names a lane that has exited or does not exist",
  },
  {
    does: "is not in its own mask",
    body: "__ballot_sync(1u, 1);",
    text: "a lane calls a warp collective with a mask that lacks it",
  },
  {
    does: "shuffles from outside its mask",
    body: "if (i % 32 < 16) __shfl_sync(0xffffu, i, 20);",
    text: "a shuffle reads a lane outside its mask",
  },
];

const LIBRARY = probeLibrary([...SOUND, ...RACES, ...FAULTS].map(({ body }) => body));

Deno.test(`the emulator runs sound code like a GPU, in every order${skipped}`, {
  ignore,
}, async (t) => {
  for (const race of [false, true]) {
    using emulator = await openEmulator({ race, mutant: LIBRARY });
    for (const [n, { does, expected }] of SOUND.entries()) {
      await t.step(`${race ? "checked: " : ""}${does}`, async () => {
        for (const order of Object.values(Order)) {
          emulator.configure({ order, seed: 2 });
          const out = runProbe(emulator.context, n);
          out.forEach((value, j) =>
            assertEquals(value, expected(j % THREADS, Math.floor(j / THREADS)), `order ${order}`)
          );
          assertEquals(await emulator.locatedReports(), []);
        }
      });
    }
  }
});

Deno.test(`the race checker reports unsound code, in every order${skipped}`, {
  ignore,
}, async (t) => {
  using emulator = await openEmulator({ race: true, mutant: LIBRARY });
  for (const [n, { does, report }] of RACES.entries()) {
    await t.step(does, async () => {
      for (const order of Object.values(Order)) {
        emulator.configure({ order, seed: 2 });
        emulator.clearReports();
        runProbe(emulator.context, SOUND.length + n);
        const reports = await emulator.locatedReports();
        assert(reports.some((line) => line.includes(report)), `${order}: ${reports.join("\n")}`);
      }
    });
  }
});

Deno.test(`the emulator ends a launch whose threads are stuck${skipped}`, {
  ignore,
}, async (t) => {
  for (const [n, { does, text }] of FAULTS.entries()) {
    await t.step(does, async () => {
      using emulator = await openEmulator({ mutant: LIBRARY });
      const run = (): unknown => runProbe(emulator.context, SOUND.length + RACES.length + n);
      const error = assertThrows(run, DeviceError, text);
      assert(error.message.includes("probe"), error.message);
    });
  }
});
