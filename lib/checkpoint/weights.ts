/** Saves and loads the weights of a user's model as safetensors. @module */

import { requirePath, shown } from "../arguments.ts";
import { isParameter, type Parameter, type ParameterTensor } from "../autograd/parameter.ts";
import { CheckpointError } from "../errors.ts";
import { writeAtomically } from "../files.ts";
import { any, operands } from "../tensor/operands.ts";
import { showShape } from "../tensor/shape_math.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { listed } from "../visible.ts";
import { firstNonFinite } from "./finite_values.ts";
import { SafetensorsFile } from "./safetensors.ts";
import { fillTensors, tensorEntries } from "./weight_layout.ts";
import { writeSafetensors } from "./write_safetensors.ts";

/**
 * Writes weights to a safetensors file as fp32, each under its parameter's name and with its shape.
 * An existing file is replaced only once the new one is complete.
 *
 * @param parameters The `parameters()` of a layer or a model; names must differ.
 * @param path The file.
 * @throws {TypeError} If an element is not a parameter, or the path is not a path.
 * @throws {CheckpointError} If two parameters share a name.
 * @throws {ReferenceError} If a parameter has been disposed of.
 * @throws {FileError} If the file cannot be written; an existing file stays as it was.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { Device, Linear, loadWeights, read, saveWeights } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu", seed: 1 });
 * using trained = new Linear(device, { input: 2, output: 3, name: "head.weight" });
 * const path = `${Deno.makeTempDirSync()}/head.safetensors`;
 * saveWeights(trained.parameters(), path);
 *
 * using fresh = new Linear(device, { input: 2, output: 3, name: "head.weight" });
 * loadWeights(fresh.parameters(), path);
 * assert((await read(fresh.weight)).join() === (await read(trained.weight)).join());
 * ```
 */
export function saveWeights(parameters: Iterable<Parameter>, path: string): void {
  const weights = named("save", parameters);
  requirePath("save weights", "path", path);
  writeAtomically(path, (temporary) => {
    writeSafetensors(temporary, tensorEntries(weights), { format: "remoe" });
  });
}

/**
 * Reads weights written by {@linkcode saveWeights}. Every tensor is checked before the first is
 * loaded, so an error leaves the parameters as they were. F16 and BF16 widen to fp32, exactly.
 *
 * @param parameters The parameters of a model like the saved one.
 * @param path The file.
 * @throws {TypeError} If an element is not a parameter, or the path is not a path.
 * @throws {CheckpointError} If the file is malformed, lacks a parameter, holds an extra tensor or
 * one of another shape, or holds a value that is not finite; the message names them.
 * @throws {ReferenceError} If a parameter has been disposed of.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { CheckpointError, Device, Linear, loadWeights, saveWeights } from "@remoe/remoe";
 *
 * using device = await Device.open({ kind: "cpu" });
 * using small = new Linear(device, { input: 2, output: 3, name: "head.weight" });
 * using large = new Linear(device, { input: 2, output: 4, name: "head.weight" });
 * const path = `${Deno.makeTempDirSync()}/head.safetensors`;
 * saveWeights(small.parameters(), path);
 * loadWeights(small.parameters(), path);
 * try {
 *   loadWeights(large.parameters(), path); // keeps the weights it has
 * } catch (error) {
 *   assert(error instanceof CheckpointError);
 *   assert(error.message.includes("head.weight [2, 3] where the model has [2, 4]"));
 * }
 * ```
 */
export function loadWeights(parameters: Iterable<Parameter>, path: string): void {
  const weights = named("load", parameters);
  requirePath("load weights", "path", path);
  using file = SafetensorsFile.open(path);
  requireSame(weights, file);
  requireFinite(weights, file);
  fillTensors(weights, file);
}

/** A parameter and its name. */
interface Weight {
  readonly name: string;
  readonly tensor: ParameterTensor;
}

/** Checks that all are live parameters with distinct names. */
function named(operation: "save" | "load", parameters: Iterable<Parameter>): Weight[] {
  if (typeof parameters?.[Symbol.iterator] !== "function") {
    throw new TypeError(
      `Cannot ${operation} weights: parameters is ${
        shown(parameters)
      }, expected layer.parameters()`,
    );
  }
  const names = new Set<string>();
  return Array.from(parameters, (parameter) => {
    const [tensor] = operands(operation, any<Tensor>(parameter));
    if (!isParameter(tensor)) {
      throw new TypeError(`Cannot ${operation} ${shown(parameter)}: it is not a layer's parameter`);
    }
    const { name } = tensor;
    if (names.has(name)) {
      throw new CheckpointError(
        `Cannot ${operation} weights: two parameters are named ${name}; name each layer`,
      );
    }
    names.add(name);
    return { name, tensor };
  });
}

/** Refuses a file whose tensors do not match the parameters. */
function requireSame(weights: readonly Weight[], file: SafetensorsFile): void {
  const wanted = new Map(weights.map(({ name, tensor }) => [name, tensor.shape]));
  const missing = [...wanted.keys()].filter((name) => !file.tensors.has(name));
  const extra = [...file.tensors.keys()].filter((name) => !wanted.has(name));
  const misshaped = [...file.tensors.values()].flatMap(({ name, shape }) => {
    const needed = wanted.get(name);
    return needed === undefined || needed.join() === shape.join()
      ? []
      : [`${name} ${showShape(shape)} where the model has ${showShape(needed)}`];
  });
  const faults = [
    ...(missing.length > 0 ? [`it lacks ${listed(missing)}`] : []),
    ...(extra.length > 0 ? [`the model does not have its ${listed(extra)}`] : []),
    ...(misshaped.length > 0 ? [`it holds ${listed(misshaped)}`] : []),
  ];
  if (faults.length === 0) return;
  throw new CheckpointError(`Cannot load weights from ${file.path}: ${faults.join("; ")}`);
}

/** Checks the entire file before the first tensor is loaded: an error must change no parameter. */
function requireFinite(weights: readonly Weight[], file: SafetensorsFile): void {
  const bad = firstNonFinite(weights.map(({ name }) => name), file);
  if (bad === null) return;
  throw new CheckpointError(
    `Cannot load weights from ${file.path}: tensor ${bad.name} is not finite, it holds ` +
      `${bad.value}`,
  );
}
