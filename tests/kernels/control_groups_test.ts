import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";

const MIB = 2 ** 20;
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** A system's files, as far as control groups go, and what they grant. */
interface Case {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  readonly bytes?: number;
  readonly cores?: number;
}

const V1_NAMES = "4:memory:/docker/abc\n3:cpuacct,cpu:/docker/abc\n0::/\n";

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
    name: "v2 at the mount",
    files: {
      "proc/self/cgroup": "0::/\n",
      "sys/fs/cgroup/memory.max": `${512 * MIB}\n`,
      "sys/fs/cgroup/cpu.max": "150000 100000\n",
    },
    bytes: 512 * MIB,
    cores: 1.5,
  },
  {
    name: "v2, the narrowest of the groups above counts, and no other",
    files: {
      "proc/self/cgroup": "0::/pod/box\n",
      "sys/fs/cgroup/pod/memory.max": `${32 * MIB}\n`,
      "sys/fs/cgroup/pod/cpu.max": "max 100000\n",
      "sys/fs/cgroup/pod/box/memory.max": `${64 * MIB}\n`,
      "sys/fs/cgroup/pod/box/cpu.max": "50000 100000\n",
      "sys/fs/cgroup/pod/other/memory.max": `${MIB}\n`,
    },
    bytes: 32 * MIB,
    cores: 0.5,
  },
  {
    name: "v2, the mount shows a part of all groups",
    files: {
      "proc/self/cgroup": "0::/pod/box\n",
      "proc/self/mountinfo": "35 31 0:32 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
      "sys/fs/cgroup/box/memory.max": `${48 * MIB}\n`,
    },
    bytes: 48 * MIB,
  },
  {
    name: "v2, outside of the groups that are seen",
    files: { "proc/self/cgroup": "0::/../../box\n", "sys/fs/cgroup/memory.max": `${48 * MIB}\n` },
    bytes: 48 * MIB,
  },
  {
    name: "v2 beside v1",
    files: {
      "proc/self/cgroup": "4:memory:/\n0::/pod\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
      "sys/fs/cgroup/unified/pod/memory.max": `${40 * MIB}\n`,
    },
    bytes: 40 * MIB,
  },
  {
    name: "v1 by name, as on the machine",
    files: {
      "proc/self/cgroup": V1_NAMES,
      "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": `${96 * MIB}\n`,
      "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "200000\n",
      "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
    },
    bytes: 96 * MIB,
    cores: 2,
  },
  {
    name: "v1 at the mount, as in a container",
    files: {
      "proc/self/cgroup": V1_NAMES,
      "sys/fs/cgroup/memory/memory.limit_in_bytes": `${96 * MIB}\n`,
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    },
    bytes: 96 * MIB,
  },
];

const hasCompiler = (() => {
  try {
    const version = new Deno.Command("c++", { args: ["--version"], stdout: "null" });
    return version.outputSync().success;
  } catch {
    return false;
  }
})();

Deno.test({
  name: "the CPU library sees the limits of control groups",
  ignore: !hasCompiler,
  async fn(t) {
    const folder = Deno.makeTempDirSync({ prefix: "remoe_groups" });
    const [kernels, program] = [`${ROOT}kernels/cpu/runtime`, `${folder}/control_groups`];
    const sources = [`${ROOT}tests/kernels/control_groups.cpp`, `${kernels}/control_groups.cpp`];
    const { success, stderr } = new Deno.Command("c++", {
      args: ["-std=c++20", `-I${kernels}`, ...sources, "-o", program],
    }).outputSync();
    assertEquals(success, true, new TextDecoder().decode(stderr));
    for (const [i, { name, files, bytes, cores }] of CASES.entries()) {
      await t.step(name, () => {
        const root = `${folder}/${i}/`;
        Deno.mkdirSync(root);
        for (const [path, text] of Object.entries(files)) {
          Deno.mkdirSync(root + path.slice(0, path.lastIndexOf("/")), { recursive: true });
          Deno.writeTextFileSync(root + path, text);
        }
        const { stdout } = new Deno.Command(program, { args: [root] }).outputSync();
        const expected = `${bytes ?? 2n ** 64n - 1n} ${cores ?? "inf"}\n`;
        assertEquals(new TextDecoder().decode(stdout), expected);
      });
    }
    Deno.removeSync(folder, { recursive: true });
  },
});
