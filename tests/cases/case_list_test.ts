import { assertEquals, assertThrows } from "@std/assert";
import { SYMBOLS } from "../../lib/ffi/symbols.ts";
import { assertAllClose } from "../../kernels/cases/assert_all_close.ts";
import { allDoubled, inputsOf } from "../../kernels/cases/case.ts";
import { GRADIENT_CASES, KERNEL_CASES, OPERATION_CASES } from "../../kernels/cases/mod.ts";
import { fromBfloat16, toBfloat16 } from "../../kernels/cases/random.ts";

/** Functions without a result to compare with a reference; separate tests call them. */
const NOT_COMPUTING =
  /^remoe_(abi|build|context|memory|copy_(from|to)|pinned|stream|synchronize|event|capture|graph|probe|scratch)/;

Deno.test("the case list covers every computing function of the contract", () => {
  const covered = new Set(KERNEL_CASES.flatMap(({ symbols }) => symbols as readonly string[]));
  const missing = Object.keys(SYMBOLS).filter((symbol) =>
    !covered.has(symbol) && !NOT_COMPUTING.test(symbol)
  );
  assertEquals(missing, []);
});

Deno.test("cases have unique names, since names seed inputs", () => {
  const names = KERNEL_CASES.map(({ name }) => name);
  assertEquals(names.filter((name, i) => names.indexOf(name) !== i), []);
});

Deno.test("cases declare the bytes and operations that benches report", () => {
  for (const { name, flops, bytes } of KERNEL_CASES) {
    assertEquals(Number.isInteger(flops) && flops >= 0, true, `${name}: flops ${flops}`);
    assertEquals(Number.isInteger(bytes) && bytes > 0, true, `${name}: bytes ${bytes}`);
  }
});

/** Operations that round operands inside where activations are bfloat16. */
const ROUNDING_INSIDE =
  /^(experts_forward|attention_forward|attention_extend|cross_entropy_gradient)$/;

Deno.test("tolerances for fp32 reject results with only bfloat16 precision", async (t) => {
  for (const operationCase of OPERATION_CASES) {
    const isCoarse = operationCase.dtype === "bf16" &&
      ROUNDING_INSIDE.test(operationCase.operation);
    if (isCoarse) continue;
    const expected = operationCase.reference(allDoubled(inputsOf(operationCase)));
    for (const [name, { dtype, tolerance }] of Object.entries(operationCase.outputs)) {
      if (dtype !== "f32" || operationCase.unwanted?.includes(name)) continue;
      const values = Float32Array.from(expected[name]!);
      const coarse = fromBfloat16(toBfloat16(values));
      // A few numbers may happen to be representable in bfloat16; zeros and extreme ones are.
      const telling = values.filter((value, i) => Number.isFinite(value) && value !== coarse[i]);
      if (telling.length <= 16) continue;
      await t.step(`${operationCase.name}: ${name}`, () => {
        assertThrows(() => assertAllClose(coarse, values, tolerance));
      });
    }
  }
});

Deno.test("gradient cases differentiate inputs that they have", () => {
  for (const gradientCase of GRADIENT_CASES) {
    const inputs = inputsOf(gradientCase);
    for (const [name, { of }] of Object.entries(gradientCase.gradients)) {
      const { shape } = gradientCase.outputs[name]!;
      const elements = shape.reduce((product, size) => product * size, 1);
      assertEquals(inputs[of]?.length, elements, `${gradientCase.name}: ${name} of ${of}`);
    }
  }
});
