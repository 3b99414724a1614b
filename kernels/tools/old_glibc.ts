/**
 * Lets a library that is linked here be loaded by glibc 2.17 and later.
 *
 * glibc 2.34 moved threads and dynamic loading into libc under new versions of their symbols, and
 * the linker takes the newest. It is given libraries to find first that have nothing but the old
 * names, versions and places: at run time those are the machine's own, in every glibc.
 *
 * @module
 */

import { run } from "./cuda_toolchain.ts";
import { CompileError, exists, hash, intoPlace } from "./compile_cached.ts";

/** The newest version of glibc's symbols that a library may ask for: that of manylinux2014. */
export const OLDEST_GLIBC = "2.17";

/** Functions by the library that has them before glibc 2.34. */
const PLACES: Readonly<Record<string, readonly string[]>> = {
  "libdl.so.2": ["dlclose", "dlerror", "dlmopen", "dlopen", "dlsym", "dlvsym"],
  "librt.so.1": ["shm_open", "shm_unlink"],
  "libpthread.so.0": [
    ...["__pthread_key_create", "pthread_attr_setstacksize", "pthread_condattr_setpshared"],
    ...["pthread_create", "pthread_detach", "pthread_getspecific", "pthread_join"],
    ...["pthread_key_create", "pthread_key_delete", "pthread_kill", "pthread_mutex_trylock"],
    ...["destroy", "init", "setpshared", "settype"].map((what) => `pthread_mutexattr_${what}`),
    "pthread_once",
    ...["destroy", "init", "rdlock", "timedrdlock", "timedwrlock", "tryrdlock", "trywrlock"]
      .map((what) => `pthread_rwlock_${what}`),
    ...["pthread_rwlock_unlock", "pthread_rwlock_wrlock", "pthread_setspecific"],
    ...["destroy", "init", "setpshared"].map((what) => `pthread_rwlockattr_${what}`),
    ...["destroy", "init", "lock", "trylock", "unlock"].map((what) => `pthread_spin_${what}`),
    ...["destroy", "init", "post", "timedwait", "trywait", "wait"].map((what) => `sem_${what}`),
  ],
};

/** The first version that an architecture's functions have, and the exceptions. */
const VERSIONS = {
  x86_64: { first: "GLIBC_2.2.5", others: { dlmopen: "GLIBC_2.3.4" } },
  aarch64: { first: "GLIBC_2.17", others: {} },
} satisfies Record<
  typeof Deno.build.arch,
  { first: string; others: Readonly<Record<string, string>> }
>;

/**
 * Writes the libraries to link with.
 *
 * @param folder The folder to write to.
 * @param arch The architecture that the library is for. Default this machine's.
 * @param linker The compiler that links for it. Default `gcc`.
 * @returns Their paths, to be given before others.
 * @throws {CompileError} With the linker's output.
 */
export async function oldGlibc(
  folder: string,
  arch: typeof Deno.build.arch = Deno.build.arch,
  linker: string = "gcc",
): Promise<string[]> {
  return await Promise.all(
    Object.entries(PLACES).map(async ([name, functions]) => {
      const source = functions.map(empty).join("");
      const script = versionScript(functions, arch);
      // What has changed is linked with under another path.
      const place = `${folder}/${(await hash([linker, source, script])).slice(0, 16)}`;
      const path = `${place}/${name}`;
      if (await exists(path)) return path;
      await Deno.mkdir(place, { recursive: true });
      await Deno.writeTextFile(`${path}.s`, source);
      await Deno.writeTextFile(`${path}.map`, script);
      const flags = `-Wl,--version-script=${path}.map,-soname,${name}`;
      await intoPlace(path, async (temporary) => {
        const args = ["-shared", "-nostdlib", `${path}.s`, flags, "-o", temporary];
        const { success, stderr } = await run(linker, args);
        if (!success) throw new CompileError(`${linker} ${args.join(" ")} failed:\n${stderr}`);
      });
      return path;
    }),
  );
}

function empty(name: string): string {
  return `.globl ${name}\n.type ${name}, %function\n${name}:\n`;
}

function versionScript(functions: readonly string[], arch: typeof Deno.build.arch): string {
  const { first, others }: { first: string; others: Readonly<Record<string, string>> } =
    VERSIONS[arch];
  const byVersion = Map.groupBy(functions, (name) => others[name] ?? first);
  return [...byVersion].map(([version, names]) => `${version} { ${names.join("; ")}; };\n`).join(
    "",
  );
}

/**
 * Reads which versions of the system's libraries a library asks for.
 *
 * @param path The library.
 * @returns For example `GLIBC_2.17` and `GCC_3.0`, each once.
 * @throws {CompileError} If readelf cannot read it.
 */
export async function requiredVersions(path: string): Promise<string[]> {
  const { success, stdout, stderr } = await run("readelf", ["--version-info", "--wide", path]);
  if (!success) throw new CompileError(`readelf cannot read ${path}: ${stderr}`);
  const names = stdout.matchAll(/Name: (\S+) +Flags: \S+ +Version:/g);
  return [...new Set([...names].map(([, name]) => name!))];
}
