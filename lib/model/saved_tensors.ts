/** What a checkpoint keeps of a model. @module */

import type { Parameter } from "../autograd/parameter.ts";
import type { LanguageModel } from "../nn/language_model.ts";

/** The tensors that make a model what it is: its trained weights, and its routers' buffers. */
export function* savedTensors(model: LanguageModel): Iterable<Parameter> {
  yield* model.parameters();
  yield* model.buffers();
}
