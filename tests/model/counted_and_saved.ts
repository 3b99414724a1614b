/** What holds for a model of any configuration. @module */

import { assertEquals } from "@std/assert";
import { SafetensorsFile } from "../../lib/checkpoint/safetensors.ts";
import { loadModel, modelEntries } from "../../lib/checkpoint/weight_layout.ts";
import { writeSafetensors } from "../../lib/checkpoint/write_safetensors.ts";
import { buildModel, type BuiltModel } from "../../lib/model/build_model.ts";
import { countParameters, type TrainConfig } from "../../lib/train/mod.ts";
import { type Device, read } from "../../mod.ts";
import { TemporaryFolder } from "../temporary_folder.ts";

/**
 * Asserts that a model has as many parameters as are counted, and that a checkpoint gives them to
 * another one.
 *
 * @param device The device.
 * @param config The model's configuration.
 * @param built The model.
 */
export async function assertCountedAndSaved(
  device: Device,
  config: TrainConfig,
  built: BuiltModel,
): Promise<void> {
  using folder = new TemporaryFolder();
  const sizes = [...built.model.parameters()].map(({ size }) => size);
  const { total, active: _, ...parts } = countParameters(config.model, config.moe);
  assertEquals(sizes.reduce((sum, size) => sum + size, 0), total);
  assertEquals(Object.values(parts).reduce((sum, part) => sum + part, 0), total);

  const path = `${folder.path}/model.safetensors`;
  writeSafetensors(path, modelEntries(built.model.parameters(), config), {});
  using other = buildModel(device, { ...config, seed: 9 });
  using file = SafetensorsFile.open(path);
  loadModel(other.model.parameters(), config, file);
  using _scope = device.noGradient();
  const tokens = device.tokens([256, 1, 2, 3]);
  const [ours, theirs] = [other, built].map(({ model }) => read(model.logits(tokens, 4)));
  assertEquals(await ours, await theirs);
}
