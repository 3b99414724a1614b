import { assertEquals } from "@std/assert";
import { availableCores, availableMemory } from "../lib/machine.ts";
import { TemporaryFolder } from "./train/_temporary.ts";

const MIB = 2 ** 20;
const CORES = navigator.hardwareConcurrency;
const MEMORY = Deno.systemMemoryInfo().total;

/** A system's files, as far as control groups go. */
type Files = Readonly<Record<string, string>>;

interface Case {
  readonly name: string;
  readonly files: Files;
  readonly memory?: number;
  readonly cores?: number;
}

const V2_NAMES = "0::/pod/box\n";
const V1_NAMES = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n";
const NO_LIMIT_V1 = "9223372036854771712";

const CASES: readonly Case[] = [
  { name: "no control groups", files: {} },
  {
    name: "v2 without limits",
    files: {
      "proc/self/cgroup": "0::/\n",
      "sys/fs/cgroup/memory.max": "max\n",
      "sys/fs/cgroup/cpu.max": "max 100000\n",
    },
  },
  {
    name: "v2 at the mount, as in a container of its own name space",
    files: {
      "proc/self/cgroup": "0::/\n",
      "sys/fs/cgroup/memory.max": `${512 * MIB}\n`,
      "sys/fs/cgroup/cpu.max": "100000 100000\n",
    },
    memory: 512 * MIB,
    cores: 1,
  },
  {
    name: "v2, the process's own group",
    files: {
      "proc/self/cgroup": V2_NAMES,
      "sys/fs/cgroup/pod/memory.max": "max\n",
      "sys/fs/cgroup/pod/box/memory.max": `${64 * MIB}\n`,
      "sys/fs/cgroup/pod/box/cpu.max": "150000 100000\n",
    },
    memory: 64 * MIB,
    cores: 1,
  },
  {
    name: "v2, a group above is narrower",
    files: {
      "proc/self/cgroup": V2_NAMES,
      "sys/fs/cgroup/pod/memory.max": `${32 * MIB}\n`,
      "sys/fs/cgroup/pod/cpu.max": "50000 100000\n",
      "sys/fs/cgroup/pod/box/memory.max": `${64 * MIB}\n`,
      "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n",
    },
    memory: 32 * MIB,
    cores: 1,
  },
  {
    name: "v2, groups of others do not count",
    files: {
      "proc/self/cgroup": V2_NAMES,
      "sys/fs/cgroup/other/memory.max": `${32 * MIB}\n`,
      "sys/fs/cgroup/pod/other/memory.max": `${32 * MIB}\n`,
    },
  },
  {
    name: "v2, the mount shows a part of all groups",
    files: {
      "proc/self/cgroup": V2_NAMES,
      "proc/self/mountinfo": "35 31 0:32 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
      "sys/fs/cgroup/box/memory.max": `${48 * MIB}\n`,
    },
    memory: 48 * MIB,
  },
  {
    name: "v2 beside v1",
    files: {
      "proc/self/cgroup": "4:memory:/\n0::/pod\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
      "sys/fs/cgroup/unified/pod/memory.max": `${40 * MIB}\n`,
    },
    memory: 40 * MIB,
  },
  {
    name: "v1 without limits",
    files: {
      "proc/self/cgroup": V1_NAMES,
      "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    },
  },
  {
    name: "v1 at the mount, the names being the machine's",
    files: {
      "proc/self/cgroup": V1_NAMES,
      "sys/fs/cgroup/memory/memory.limit_in_bytes": `${256 * MIB}\n`,
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n",
      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    },
    memory: 256 * MIB,
    cores: 1,
  },
  {
    name: "v1, the process's own group and those above",
    files: {
      "proc/self/cgroup": V1_NAMES,
      "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
      "sys/fs/cgroup/memory/docker/memory.limit_in_bytes": `${128 * MIB}\n`,
      "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": `${96 * MIB}\n`,
      "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "20000\n",
      "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
    },
    memory: 96 * MIB,
    cores: 1,
  },
  {
    name: "garbage",
    files: {
      "proc/self/cgroup": "what\n\n0:\n0::../../x\n",
      "proc/self/mountinfo": "\n1 2\n",
      "sys/fs/cgroup/memory.max": "",
      "sys/fs/cgroup/cpu.max": "0 0 0\n",
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "x",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "-5",
    },
  },
  {
    name: "more than the machine has",
    files: {
      "sys/fs/cgroup/memory.max": `${4 * MEMORY}\n`,
      "sys/fs/cgroup/cpu.max": `${4 * CORES * 100_000} 100000\n`,
    },
  },
];

Deno.test("memory and cores are what the narrowest control group grants", async (t) => {
  for (const { name, files, memory = MEMORY, cores = CORES } of CASES) {
    await t.step(name, () => {
      using folder = new TemporaryFolder();
      const root = `${folder.path}/`;
      for (const [path, text] of Object.entries(files)) {
        Deno.mkdirSync(`${root}${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
        Deno.writeTextFileSync(`${root}${path}`, text);
      }
      assertEquals([availableMemory(root), availableCores(root)], [memory, cores]);
    });
  }
});
