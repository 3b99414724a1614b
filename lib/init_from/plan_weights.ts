/** Which tensors of a checkpoint fill which weights of a new model, by their names. @module */

import type { Parameter } from "../autograd/parameter.ts";
import { type Layout, layoutOf } from "../checkpoint/weight_layout.ts";
import type { TrainConfig } from "../config/config.ts";
import { CheckpointError } from "../errors.ts";
import { showShape } from "../tensor/shape_math.ts";
import { listed } from "../visible.ts";

/** A tensor of the file, as its header lists it. */
interface FileTensor {
  readonly shape: readonly number[];
}

/** Where a parameter's values come from. */
export type Origin =
  /** Tensors of the same names and shapes. */
  | { readonly kind: "taken" }
  /** The first `rows` rows of a tensor of the same name: a vocabulary with another padding. */
  | { readonly kind: "rows"; readonly rows: number }
  /** The dense layer of this name, `model.layers.N.mlp`, copied or cut into experts. */
  | { readonly kind: "copied"; readonly dense: string }
  /** The random values that it has. */
  | { readonly kind: "new" };

/** A parameter of the new model and where its values come from. */
export interface PlannedWeight {
  readonly parameter: Parameter;
  readonly layout: Layout;
  readonly origin: Origin;
}

/** How a checkpoint fills a model. */
export interface WeightPlan {
  readonly weights: readonly PlannedWeight[];
  /** Names in the file by what becomes of them; `new` has names that the model's own file will have. */
  readonly taken: readonly string[];
  readonly copied: readonly string[];
  readonly new: readonly string[];
  readonly left: readonly string[];
}

/** Names of the model's own weights. All others are a router's, and routers differ in what they have. */
const OWN =
  /^(lm_head|model\.(embed_tokens|norm|layers\.\d+\.(?!block_sparse_moe\.(?!experts\b|shared_expert\b))))\b/;

/** Weights with a row per token. */
const BY_TOKEN = /^(model\.embed_tokens|lm_head)\.weight$/;

/** An expert's weights, or those of the experts that every token uses, in memory. */
const EXPERTS =
  /^(model\.layers\.\d+)\.block_sparse_moe\.(experts\.w[12]|shared_expert\.(gate_up|down)_proj\.weight)$/;

/**
 * Plans how a checkpoint's tensors fill a model.
 *
 * @param parameters The parameters and buffers of the new model.
 * @param config Its configuration.
 * @param file The checkpoint's weights.
 * @returns The plan.
 * @throws {CheckpointError} If a weight of the model's own is missing, has another shape or is not
 * the model's; names them.
 */
export function planWeights(
  parameters: Iterable<Parameter>,
  config: TrainConfig,
  file: { readonly path: string; readonly tensors: ReadonlyMap<string, FileTensor> },
): WeightPlan {
  const problems: string[] = [];
  const names = { taken: [] as string[], copied: new Set<string>(), new: [] as string[] };
  const weights = Array.from(parameters, (parameter): PlannedWeight => {
    const layout = layoutOf(parameter, config);
    const origin = originOf(parameter, layout, file.tensors, config);
    const parts = layout.parts.map(({ name }) => name);
    if (origin === null) problems.push(...misfits(layout, file.tensors));
    else if (origin.kind === "copied") {
      densePartsOf(origin.dense).forEach((n) => names.copied.add(n));
    } else if (origin.kind === "new") names.new.push(...parts);
    else names.taken.push(...parts);
    return { parameter, layout, origin: origin ?? { kind: "new" } };
  });
  const used = new Set([...names.taken, ...names.copied]);
  const left = [...file.tensors.keys()].filter((name) => !used.has(name));
  const foreign = left.filter((name) => OWN.test(name));
  if (problems.length === 0 && foreign.length > 0) {
    problems.push(`this model does not have its ${listed(foreign)}`);
  }
  if (problems.length > 0) {
    throw new CheckpointError(`Cannot start from ${file.path}: ${problems.join("; ")}`);
  }
  return { weights, taken: names.taken, copied: [...names.copied], new: names.new, left };
}

/** The three matrices of a dense layer, as a file names them. */
export function densePartsOf(dense: string): readonly [string, string, string] {
  return [
    `${dense}.gate_proj.weight`,
    `${dense}.up_proj.weight`,
    `${dense}.down_proj.weight`,
  ];
}

function originOf(
  { name }: Parameter,
  { parts }: Layout,
  tensors: ReadonlyMap<string, FileTensor>,
  { model }: TrainConfig,
): Origin | null {
  const there = parts.filter((part) => tensors.has(part.name));
  if (there.length === parts.length) {
    const isSame = parts.every(({ name, shape }) =>
      tensors.get(name)!.shape.join() === shape.join()
    );
    if (isSame) return { kind: "taken" };
    const [{ shape: [rows = 0, columns] }] = parts as [Layout["parts"][0]];
    const [count = 0, width] = tensors.get(name)?.shape ?? [];
    if (BY_TOKEN.test(name) && width === columns) {
      return { kind: "rows", rows: Math.min(rows, count) };
    }
  }
  const [, layer] = EXPERTS.exec(name) ?? [];
  const dense = `${layer}.mlp`;
  // A dense layer of another width is no whole number of experts.
  const width = (part: string): number | undefined => tensors.get(part)?.shape[0];
  const [gate, up, down] = densePartsOf(dense);
  const isWhole = width(gate) === model.ffn && width(up) === model.ffn && tensors.has(down);
  if (layer !== undefined && isWhole) return { kind: "copied", dense };
  return OWN.test(parts[0]!.name) ? null : { kind: "new" };
}

/** What is wrong with the file's tensors for one of the model's own weights. */
function misfits({ parts }: Layout, tensors: ReadonlyMap<string, FileTensor>): string[] {
  const missing = parts.filter(({ name }) => !tensors.has(name)).map(({ name }) => name);
  if (missing.length > 0) return [`it lacks ${listed(missing)}`];
  const misshaped = parts
    .filter(({ name, shape }) => tensors.get(name)!.shape.join() !== shape.join())
    .map(({ name, shape }) =>
      `${name} ${showShape(tensors.get(name)!.shape)} where the model has ${showShape(shape)}`
    );
  return [`it holds ${listed(misshaped)}`];
}
