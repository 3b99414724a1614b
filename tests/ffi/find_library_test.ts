import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { DeviceError, LibraryError } from "../../lib/errors.ts";
import {
  ABI_VERSION,
  libraryCandidates,
  libraryFileName,
  openContext,
  RELEASE,
  type ReleaseFile,
  Status,
  type Surroundings,
  surroundings,
} from "../../lib/ffi/mod.ts";
import { SYMBOLS } from "../../lib/ffi/symbols.ts";
import { buildLibrary, canBuild } from "./tiny_library.ts";

const CPU_FILE: ReleaseFile = {
  backend: "cpu",
  os: "linux",
  arch: "x86_64",
  url: "https://example.com/libremoe_cpu.so",
  sha256: "0".repeat(64),
};

/** A partial CUDA library, on a machine without a GPU. */
const CUDA_WITHOUT_DRIVER = `
  int remoe_abi_version(void) { return ${ABI_VERSION}; }
  int remoe_context_create(int ordinal, int threads, unsigned long* context, char* message,
                           unsigned long length) {
    strcpy(message, "no driver");
    return ${Status.noDevice};
  }`;

/** The functions that it lacks, and those among them that training does not call. */
const ALL_OTHERS = Object.keys(SYMBOLS).filter((name) =>
  !["remoe_abi_version", "remoe_build_info", "remoe_context_create"].includes(name)
);
const DISPENSABLE = ALL_OTHERS.filter((name) =>
  /^remoe_(probe|capture|graph)_/.test(name) || name === "remoe_scratch_bytes"
);

function facts(changes: Partial<Surroundings> = {}): Surroundings {
  return {
    override: undefined,
    moduleUrl: "https://example.com/remoe/lib/ffi/find_library.ts",
    os: "linux",
    arch: "x86_64",
    release: { version: "1.2.3", files: [] },
    ...changes,
  };
}

/** Source and backend of each candidate, in order. */
function order(...args: Parameters<typeof libraryCandidates>): string[] {
  return libraryCandidates(...args).map(({ source, backend }) => `${source} ${backend}`);
}

Deno.test("`libraryCandidates()` uses only a given path, ahead of REMOE_LIBRARY", () => {
  const override = "/from/environment.so";
  assertEquals(order("auto", "/given.so", facts({ override })), ["path any"]);
  assertEquals(order("cuda", undefined, facts({ override })), ["REMOE_LIBRARY any"]);
});

Deno.test("`libraryCandidates()` searches the checkout before the release, CUDA before CPU", () => {
  const moduleUrl = "file:///remoe/lib/ffi/find_library.ts";
  assertEquals(order("auto", undefined, facts({ moduleUrl })), [
    "checkout cuda",
    "release cuda",
    "checkout cpu",
    "release cpu",
  ]);
  assertEquals(order("cpu", undefined, facts({ moduleUrl })), ["checkout cpu", "release cpu"]);
  const [checkout] = libraryCandidates("cpu", undefined, facts({ moduleUrl }));
  assertEquals(checkout?.location, "/remoe/kernels/build/libremoe_cpu.so");
});

Deno.test("`libraryCandidates()` has no checkout if the package is not a file", () => {
  assertEquals(order("cuda", undefined, facts()), ["release cuda"]);
});

Deno.test("`libraryFileName()` follows the platform", () => {
  assertEquals(libraryFileName("cpu", "linux"), "libremoe_cpu.so");
  assertEquals(libraryFileName("cpu", "darwin"), "libremoe_cpu.dylib");
  assertEquals(libraryFileName("cpu", "windows"), "remoe_cpu.dll");
});

Deno.test("`openContext()` lists everything tried and what to do", async () => {
  const moduleUrl = "file:///nowhere/lib/ffi/find_library.ts";
  const error = await assertRejects(
    () => openContext({}, facts({ moduleUrl, arch: "riscv64" })),
    LibraryError,
  );
  assertEquals(error.attempts.map(({ source, backend }) => `${source} ${backend}`), [
    "checkout cuda",
    "release cuda",
    "checkout cpu",
    "release cpu",
  ]);
  for (
    const part of [
      "/nowhere/kernels/build/libremoe_cpu.so: no such file",
      "no cpu library is listed for linux riscv64",
      "deno task build",
      "REMOE_LIBRARY",
    ]
  ) assertStringIncludes(error.message, part);
});

Deno.test("`openContext()` does not fall back from a named path", async () => {
  const override = "/nowhere/libremoe_cpu.so";
  const moduleUrl = surroundings().moduleUrl;
  const error = await assertRejects(
    () => openContext({}, facts({ override, moduleUrl })),
    LibraryError,
    override,
  );
  assertEquals(error.attempts.length, 1);
});

Deno.test("`openContext()` opens the library of the checkout and says so", async () => {
  const { context, attempts } = await openContext();
  using _ = context;
  assertEquals(attempts.at(-1)?.outcome, "opened");
  assertEquals(attempts.at(-1)?.location, context.library.path);
});

Deno.test("`openContext()` refuses a library of another kind than asked for", async () => {
  const { context } = await openContext({ kind: "cpu" });
  using _ = context;
  await assertRejects(
    () => openContext({ kind: "cuda", path: context.library.path }),
    LibraryError,
    'it is built for "cpu", not for "cuda"',
  );
});

Deno.test("`openContext()` throws the device's own error if the library opens", async () => {
  const error = await assertRejects(
    () => openContext({ kind: "cpu", ordinal: 5 }),
    DeviceError,
  );
  assertEquals(error.status, Status.noDevice);
});

Deno.test({
  name: "`openContext()` takes the CPU where a CUDA library has no device",
  ignore: !canBuild(),
  async fn() {
    using cuda = buildLibrary(`
      ${CUDA_WITHOUT_DRIVER}
      ${
      ALL_OTHERS.map((name) => `int ${name}(void) { return ${Status.unsupported}; }`).join("\n")
    }`);
    using checkout = checkoutWith({ cuda: cuda.path, cpu: await cpuLibrary() });
    const found = facts({ moduleUrl: checkout.moduleUrl });
    const { context, attempts } = await openContext({}, found);
    using _ = context;
    assertEquals(context.library.buildInfo.backend, "cpu");
    assertEquals(attempts[0]?.backend, "cuda");
    assertStringIncludes(attempts[0]?.outcome ?? "", "no driver");
    const error = await assertRejects(() => openContext({ kind: "cuda" }, found), DeviceError);
    assertStringIncludes(error.message, "no driver");
  },
});

Deno.test({
  name: "`openContext()` of kind auto passes over a CUDA library that cannot train",
  ignore: !canBuild(),
  async fn() {
    using cuda = buildLibrary(CUDA_WITHOUT_DRIVER);
    using checkout = checkoutWith({ cuda: cuda.path, cpu: await cpuLibrary() });
    const found = facts({ moduleUrl: checkout.moduleUrl });
    const { context, attempts } = await openContext({}, found);
    using _ = context;
    assertEquals(context.library.buildInfo.backend, "cpu");
    const reason = `it cannot train: it lacks ${ALL_OTHERS.length - DISPENSABLE.length} functions`;
    assertStringIncludes(attempts[0]?.outcome ?? "", reason);
    // Requested by name it is opened, up to the missing device: tests of partial builds need this.
    const error = await assertRejects(() => openContext({ kind: "cuda" }, found), DeviceError);
    assertStringIncludes(error.message, "no driver");
  },
});

Deno.test("`openContext()` downloads the release of the platform, and no other", async () => {
  const path = await cpuLibrary();
  const sha256 = await hash(path);
  const copy = `${Deno.makeTempDirSync()}/libremoe_cpu.so`;
  const urls: string[] = [];
  const download = ({ url }: { url: string }): Promise<string> => {
    urls.push(url);
    Deno.copyFileSync(path, copy);
    return Promise.resolve(copy);
  };
  const files: ReleaseFile[] = [
    { ...CPU_FILE, arch: "aarch64", url: "https://example.com/other.so" },
    { ...CPU_FILE, sha256 },
  ];
  const release = { version: "1.2.3", files };
  const { context, attempts } = await openContext({}, facts({ release, download }));
  context.close();
  assertEquals(urls, [CPU_FILE.url]);
  assertEquals(attempts.at(-1)?.source, "release");
  Deno.removeSync(copy);
});

Deno.test("`openContext()` does not download for CUDA without a driver", async () => {
  const files: ReleaseFile[] = [{ ...CPU_FILE, backend: "cuda" }];
  const download = (): Promise<string> => Promise.reject(new Error("it was downloaded"));
  const error = await assertRejects(
    () => openContext({}, facts({ release: { version: "1.2.3", files }, download })),
    LibraryError,
  );
  const hasDriver = ["/dev/nvidiactl", "/dev/dxg"].some(exists);
  assertStringIncludes(error.message, hasDriver ? "it was downloaded" : "there is no CUDA driver");
});

Deno.test("the release has the version of the package and complete entries", () => {
  const text = Deno.readTextFileSync(new URL("../../deno.json", import.meta.url));
  assertEquals(RELEASE.version, JSON.parse(text).version);
  for (const { url, sha256 } of RELEASE.files) {
    assert(URL.canParse(url));
    assert(/^[0-9a-f]{64}$/.test(sha256));
  }
});

async function cpuLibrary(): Promise<string> {
  const { context } = await openContext({ kind: "cpu" });
  using _ = context;
  return context.library.path;
}

async function hash(path: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return new Uint8Array(digest).toHex();
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path) !== undefined;
  } catch {
    return false;
  }
}

/** A directory laid out like a checkout, with the given libraries built in it. */
function checkoutWith(
  libraries: Record<string, string>,
): Disposable & { readonly moduleUrl: string } {
  const directory = Deno.makeTempDirSync({ prefix: "remoe_checkout" });
  Deno.mkdirSync(`${directory}/kernels/build`, { recursive: true });
  for (const [backend, path] of Object.entries(libraries)) {
    Deno.copyFileSync(path, `${directory}/kernels/build/${libraryFileName(backend)}`);
  }
  return {
    moduleUrl: new URL(`file://${directory}/lib/ffi/find_library.ts`).href,
    [Symbol.dispose]: () => Deno.removeSync(directory, { recursive: true }),
  };
}
