/** Tensors: types, shapes, scopes, and transfers to and from the host. @module */

export type { LiveTensor } from "./device_memory.ts";
export type { DType, GradientType, HostArrays, Real } from "./dtype.ts";
export type { Scope } from "./scope.ts";
export { type Dim, dim, type Shape } from "./shape.ts";
export type { Tensor } from "./tensor.ts";
export { read, readSync, write } from "./transfer.ts";
