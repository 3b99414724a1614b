/** Control-group limits, for both of their readers: TypeScript and the CPU library. @module */

import { dirname } from "node:path";

const MIB = 2 ** 20;

/** A system's control-group files, and what they grant. */
export interface ControlGroupCase {
  /** What is special about it. */
  readonly name: string;
  /** File contents by absolute path without the leading `/`. */
  readonly files: Readonly<Record<string, string>>;
  /** Memory limit; the machine's memory if absent. */
  readonly bytes?: number;
  /** CPU quota in processors; all of them if absent. */
  readonly cores?: number;
}

/** Writes a case's files below `root`, which must end with a slash. */
export function writeSystem(root: string, { files }: ControlGroupCase): void {
  for (const [path, text] of Object.entries(files)) {
    Deno.mkdirSync(dirname(root + path), { recursive: true });
    Deno.writeTextFileSync(root + path, text);
  }
}

const V2_NAMES = "0::/pod/box\n";
const V1_NAMES = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n";
/** What version 1 reports for no limit: 2⁶³ rounded down to a whole page. */
const NO_LIMIT_V1 = "9223372036854771712";

/** Systems whose groups grant all of the machine, less, or more. */
export const CONTROL_GROUP_CASES: readonly ControlGroupCase[] = [
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
    bytes: 512 * MIB,
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
    bytes: 64 * MIB,
    cores: 1.5,
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
    bytes: 32 * MIB,
    cores: 0.5,
  },
  {
    name: "v2, groups of others do not count",
    files: {
      "proc/self/cgroup": V2_NAMES,
      "sys/fs/cgroup/other/memory.max": `${32 * MIB}\n`,
      "sys/fs/cgroup/pod/other/memory.max": `${32 * MIB}\n`,
      "sys/fs/cgroup/pod/other/cpu.max": "50000 100000\n",
    },
  },
  {
    name: "v2, outside of the groups that are seen",
    files: { "proc/self/cgroup": "0::/../../box\n", "sys/fs/cgroup/memory.max": `${48 * MIB}\n` },
    bytes: 48 * MIB,
  },
  {
    name: "v2, the mount shows a part of all groups",
    files: {
      "proc/self/cgroup": V2_NAMES,
      "proc/self/mountinfo": "35 31 0:32 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
      "sys/fs/cgroup/box/memory.max": `${48 * MIB}\n`,
    },
    bytes: 48 * MIB,
  },
  {
    name: "v2 beside v1",
    files: {
      "proc/self/cgroup": "4:memory:/\n0::/pod\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
      "sys/fs/cgroup/unified/pod/memory.max": `${40 * MIB}\n`,
    },
    bytes: 40 * MIB,
  },
  {
    name: "v1 without limits",
    files: {
      "proc/self/cgroup": V1_NAMES,
      "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    },
    bytes: Number(NO_LIMIT_V1),
  },
  {
    name: "v1 at the mount, the names being the machine's",
    files: {
      "proc/self/cgroup": V1_NAMES,
      "sys/fs/cgroup/memory/memory.limit_in_bytes": `${256 * MIB}\n`,
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n",
      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    },
    bytes: 256 * MIB,
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
    bytes: 96 * MIB,
    cores: 0.2,
  },
  {
    name: "v1, controllers in the other order",
    files: {
      "proc/self/cgroup": "4:memory:/docker/abc\n3:cpuacct,cpu:/docker/abc\n0::/\n",
      "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "200000\n",
      "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
    },
    cores: 2,
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
    name: "more than any machine has",
    files: {
      "sys/fs/cgroup/memory.max": `${2 ** 60}\n`,
      "sys/fs/cgroup/cpu.max": "409600000 100000\n",
    },
    bytes: 2 ** 60,
    cores: 4096,
  },
];
