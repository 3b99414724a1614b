/**
 * Mixture-of-Experts with ReLU routing (ReMoE) over native kernels: typed tensors, automatic
 * differentiation, routers, the MoE layer, and what a language model around them needs.
 *
 * @example Train an MoE layer with ReLU routing
 * ```ts
 * import { AdamW, Device, meanSquaredError, MoE, read, ReluRouter } from "@remoe/remoe";
 *
 * using device = await Device.open({ seed: 42 }); // CUDA where there is one, else the CPU
 * using router = new ReluRouter(device, { hidden: 64, experts: 8, active: 1 });
 * using layer = new MoE(device, { router, hidden: 64, width: 256 });
 * using optimizer = new AdamW(device, layer.parameters(), { lr: 1e-3 });
 * const x = device.normal([512, 64], { mean: 1 }), y = device.normal([512, 64]);
 *
 * for (let step = 1; step <= 20; step++) {
 *   using tape = device.record(); // frees every intermediate when it closes
 *   const { output, routing } = layer.forward(x);
 *   const loss = meanSquaredError(output, y);
 *   tape.backward(loss); // adds λ·f_e to the gradient of each active gate
 *   optimizer.step();
 *   router.adapt(await routing.sparsity()); // λ ← λ·α^sign(1 − k/E − S)
 *   if (step === 20) console.log((await read(loss))[0], router.lambda);
 * }
 * ```
 *
 * @module
 */

export * from "./lib/autograd/mod.ts";
export { loadWeights, saveWeights } from "./lib/checkpoint/weights.ts";
export * from "./lib/errors.ts";
export * from "./lib/moe/mod.ts";
export * from "./lib/nn/mod.ts";
export * from "./lib/optim/mod.ts";
export * from "./lib/tensor/mod.ts";
