/** The tensors of a model that a checkpoint stores. @module */

import type { Parameter } from "../autograd/parameter.ts";
import type { LanguageModel } from "../nn/language_model.ts";
import type { Real } from "../tensor/dtype.ts";

/** A model's trained weights, and the buffers of its routers. */
export function* savedTensors(model: LanguageModel<Real>): Iterable<Parameter> {
  yield* model.parameters();
  yield* model.buffers();
}
