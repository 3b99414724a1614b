import { assert, assertEquals } from "@std/assert";
import { buildCuda } from "../../kernels/tools/build_cuda.ts";
import { findNvcc } from "../../kernels/tools/cuda_toolchain.ts";
import { TOOLCHAIN } from "../../kernels/tools/build_cuda.ts";
import { OLDEST_GLIBC, requiredVersions } from "../../kernels/tools/old_glibc.ts";
import { openLibrary, Status } from "../../lib/ffi/mod.ts";

// Tests install nothing: `deno run -A kernels/tools/build_cuda.ts nvcc` fetches the compiler.
const nvcc = await findNvcc(TOOLCHAIN, false);
const ignore = "reason" in nvcc;
const skipped = "reason" in nvcc ? ` [skipped: ${nvcc.reason}]` : "";

async function open(): Promise<ReturnType<typeof openLibrary>> {
  const built = await buildCuda({ install: false });
  if (built.kind === "skipped") throw new Error(built.reason);
  return openLibrary(built.path);
}

Deno.test(`the CUDA library compiles without warnings or spilled registers${skipped}`, {
  ignore,
}, async () => {
  const library = await open();
  assertEquals(library.buildInfo.backend, "cuda");
  assertEquals(library.buildInfo.isa, ["sm_80", "sm_90a", "compute_80"]);
  assert(!library.missing.includes("remoe_dispatch_plan"));
  library.close();
});

Deno.test(`the CUDA library reports a missing device without crashing${skipped}`, {
  ignore,
}, async () => {
  const library = await open();
  const handle = new BigUint64Array(1);
  const message = new Uint8Array(256);
  const f = library.symbols;
  const status = f.remoe_context_create(0, 0, handle, message, BigInt(message.length));
  const text = new TextDecoder().decode(message.subarray(0, message.indexOf(0)));
  if (status === Status.ok) {
    // On a machine with a GPU there is no error to report.
    assertEquals(f.remoe_context_destroy(handle[0]!), Status.ok);
  } else {
    assertEquals(status, Status.noDevice);
    assert(text.startsWith("no CUDA device can be used: "), text);
  }
  assertEquals(f.remoe_synchronize(0n), Status.invalidContext);
  library.close();
});

Deno.test(`the CUDA library asks for glibc ${OLDEST_GLIBC} at most, and no C++ library${skipped}`, {
  ignore,
}, async () => {
  const built = await buildCuda({ install: false });
  assert(built.kind === "built");
  const versions = await requiredVersions(built.path);
  const [, minor] = OLDEST_GLIBC.split(".").map(Number);
  const newer = versions.filter((version) => {
    const glibc = version.match(/^GLIBC_2\.(\d+)/);
    // libgcc's versions end before glibc 2.17.
    return glibc === null ? !version.startsWith("GCC_") : Number(glibc[1]) > minor!;
  });
  assert(versions.includes("GLIBC_2.17"), versions.join(" "));
  assertEquals(newer, []);
});
