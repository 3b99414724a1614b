/**
 * Exchange of models with Hugging Face transformers.
 *
 * @module
 */

export { type ImportedModel, importModel, type ImportOptions } from "./import_model.ts";
