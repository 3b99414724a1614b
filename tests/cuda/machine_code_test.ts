import { assertEquals } from "@std/assert";
import { checkMachineCode } from "../../kernels/tools/machine_code.ts";
import { TOOLCHAIN } from "../../kernels/tools/build_cuda.ts";
import { findDisassembler, findNvcc } from "../../kernels/tools/cuda_toolchain.ts";
import { checkKernels } from "../../kernels/tools/machine_code/check.ts";
import { FACTS, type Facts, violations } from "../../kernels/tools/machine_code/facts.ts";
import { readMachineCode, readResources } from "../../kernels/tools/machine_code/listing.ts";

const LISTING = `
Fatbin ptx code:
================
arch = sm_80

	code for sm_90a
	.target	sm_90a

		Function : _Zouter
	.headerflags	@"EF_CUDA_SM90"
        /*0000*/                   LDC R1, c[0x0][0x28] ;                /* 0x00000a00ff017b82 */
                                                                         /* 0x000fe40000000800 */
        /*0010*/              @!P0 LDG.E.128.CONSTANT R4, [R2.64] ;      /* 0x00000004d1047981 */
        /*0020*/                   LDG.E.U16 R8, [R2.64] ;               /* 0x00000004d1047981 */
        /*0030*/                   LDSM.16.M88.4 R12, [R9] ;             /* 0x00000004d1047981 */
        /*0040*/                   HMMA.16816.F32.BF16 R4, R8, R12, R4 ; /* 0x00000004d1047981 */
        /*0050*/              @P1  BRA 0x20 ;                            /* 0x00000004d1047981 */
        /*0060*/                   STG.E R4, [R2.64] ;                   /* 0x00000004d1047981 */
        /*0070*/             @!UP1 BRA 0x10 ;                            /* 0x00000004d1047981 */
        /*0080*/                   BRA 0x80;                             /* 0x00000004d1047981 */
		..........

		Function : _Znone
        /*0000*/                   EXIT ;                                /* 0x00000004d1047981 */
`;

Deno.test("a disassembler's listing is read by kernel, width and main loop", () => {
  const kernels = readMachineCode(LISTING);
  assertEquals(kernels.map(({ symbol, target }) => [symbol, target]), [
    ["_Zouter", "sm_90a"],
    ["_Znone", "sm_90a"],
  ]);
  assertEquals(kernels[0]!.all, {
    "LDC": 1,
    "LDG.128": 1,
    "LDG.16": 1,
    "LDSM": 1,
    "HMMA": 1,
    "BRA": 3,
    "STG.32": 1,
  });
  assertEquals(kernels[0]!.loop, { "LDG.16": 1, "LDSM": 1, "HMMA": 1, "BRA": 1 });
  assertEquals(kernels[1]!.loop, null);
});

Deno.test("a listing of resources is read by kernel", () => {
  const listing = [
    "arch = sm_80",
    " Function _Zouter:",
    "  REG:40 STACK:8 SHARED:1024 LOCAL:0 CONSTANT[0]:448 TEXTURE:0 SURFACE:0 SAMPLER:0",
  ].join("\n");
  assertEquals(readResources(listing), [
    { symbol: "_Zouter", target: "sm_80", registers: 40, stack: 8, shared: 1024 },
  ]);
});

Deno.test("each fact that a kernel lacks is named", () => {
  const [kernel] = readMachineCode(LISTING) as [ReturnType<typeof readMachineCode>[number]];
  const facts = (rest: Partial<Facts>): Facts => {
    return { kind: "tried", kernels: /outer/, targets: ["sm_90a"], ...rest };
  };
  const good = facts({ loop: { HMMA: 1 }, loopWithout: ["STG"], has: { "LDG.128": 1 } });
  assertEquals(violations(good, kernel, 0), []);
  assertEquals(violations(good, kernel, 16), [
    "uses local memory: 16 bytes per thread, 0 accesses",
  ]);
  assertEquals(violations(facts({ targets: ["sm_80"] }), kernel, 0), ["is compiled for sm_90a"]);
  const bad = facts({
    loop: { LDSM: 2 },
    loopWithout: ["LDG"],
    has: { HGMMA: 1 },
    without: ["STG"],
  });
  assertEquals(violations(bad, kernel, 0), [
    "its main loop has 1 LDSM, fewer than 2",
    "its main loop has 1 LDG, of which none belong",
    "it has 0 HGMMA, fewer than 1",
    "it has 1 STG, of which none belong",
  ]);
});

Deno.test("a product's kernel without facts, and facts without a kernel, are faults", () => {
  const [code] = readMachineCode(LISTING) as [ReturnType<typeof readMachineCode>[number]];
  const kernel = { ...code, source: "gemm/new.cu", name: "new_kernel", registers: 8, shared: 0 };
  const { faults } = checkKernels([{ ...kernel, stack: 0 }]);
  assertEquals(faults.length, 1 + FACTS.flatMap(({ targets }) => targets).length);
  assertEquals(
    faults.at(-1),
    "sm_90a new_kernel: has no facts in kernels/tools/machine_code/facts.ts",
  );
});

const nvcc = await findNvcc(TOOLCHAIN, false);
const tool = "reason" in nvcc ? nvcc : await findDisassembler(TOOLCHAIN, false);
const skipped = "reason" in tool ? ` [skipped: ${tool.reason}]` : "";

Deno.test(`the CUDA library's machine code is as expected${skipped}`, {
  ignore: "reason" in tool,
}, async () => {
  const result = await checkMachineCode({ install: false });
  assertEquals("reason" in result ? result.reason : result.faults, []);
});
