/**
 * Exchange of models with Hugging Face transformers.
 *
 * @module
 */

export { type ExportedModel, exportModel } from "./export_model.ts";
export { type ImportedModel, importModel, type ImportOptions } from "./import_model.ts";
