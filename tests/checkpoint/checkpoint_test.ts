import { assert, assertEquals, assertThrows } from "@std/assert";
import { createHash } from "node:crypto";
import { CheckpointError } from "../../lib/errors.ts";
import {
  Checkpoint,
  type CheckpointState,
  initialStage,
  listCheckpoints,
  removeLaterCheckpoints,
  type TensorEntry,
  writeCheckpoint,
} from "../../lib/train/mod.ts";
import { TemporaryFolder } from "../temporary_folder.ts";

function stateAt(step: number): CheckpointState {
  return {
    format: 1,
    step,
    tokens: 4096 * step,
    lambda: 0.1 + 0.2,
    stage: initialStage("relu"),
    sampler: { epoch: 0, position: step },
    seed: 1,
    config_hash: "hash",
    versions: { remoe: "0.1.0" },
  };
}

function tensor(name: string, values: number[]): TensorEntry {
  const bytes = new Uint8Array(new Float32Array(values).buffer);
  return { name, dtype: "F32", shape: [values.length], read: () => bytes };
}

function save(root: string, step: number, keep = 0): string {
  const model = [tensor("weight", [step, step + 1])];
  const optimizer = [tensor("weight.moment_1", [0.5]), tensor("weight.moment_2", [0.25])];
  return writeCheckpoint(root, { state: stateAt(step), model, optimizer }, keep).path;
}

function flip(path: string): void {
  const bytes = Deno.readFileSync(path);
  const at = bytes.length - 1;
  bytes[at] = bytes[at]! ^ 1;
  Deno.writeFileSync(path, bytes);
}

Deno.test("`writeCheckpoint()` writes what `Checkpoint` opens", () => {
  using folder = new TemporaryFolder();
  const path = save(`${folder.path}/checkpoints`, 100);
  assertEquals(path, `${folder.path}/checkpoints/step-000100`);
  const names = Array.from(Deno.readDirSync(path), ({ name }) => name).sort();
  assertEquals(names, ["DONE", "model.safetensors", "optimizer.safetensors", "state.json"]);
  using checkpoint = Checkpoint.open(path);
  assertEquals(checkpoint.state, stateAt(100));
  assertEquals([...new Float32Array(checkpoint.model.read("weight").buffer)], [100, 101]);
  assertEquals([...new Float32Array(checkpoint.optimizer.read("weight.moment_2").buffer)], [0.25]);
});

Deno.test("`Checkpoint.openNewest()` skips what a killed run left behind", () => {
  using folder = new TemporaryFolder();
  const root = folder.path;
  save(root, 100);
  Deno.removeSync(`${save(root, 200)}/DONE`);
  Deno.mkdirSync(`${root}/.step-000300.tmp`);
  Deno.mkdirSync(`${root}/step-400`);
  {
    using checkpoint = Checkpoint.openNewest(root);
    assertEquals(checkpoint.state.step, 100);
  }
  save(root, 500);
  const names = Array.from(Deno.readDirSync(root), ({ name }) => name).sort();
  assertEquals(names, ["step-000100", "step-000500"]);
});

Deno.test("`Checkpoint` refuses a truncated, changed or missing file, and names it", () => {
  using folder = new TemporaryFolder();
  for (const name of ["model.safetensors", "optimizer.safetensors", "state.json"]) {
    const faults: [(file: string) => void, string][] = [
      [(file) => Deno.truncateSync(file, Deno.statSync(file).size - 1), "bytes"],
      [flip, "is not what was written"],
      [(file) => Deno.removeSync(file), "is missing"],
    ];
    for (const [damage, fault] of faults) {
      const path = save(folder.path, 100);
      damage(`${path}/${name}`);
      const { message } = assertThrows(() => Checkpoint.open(path), CheckpointError);
      assert(message.includes(path) && message.includes(name) && message.includes(fault), message);
    }
  }
});

Deno.test("`Checkpoint` refuses a damaged marker", () => {
  using folder = new TemporaryFolder();
  const path = save(folder.path, 100);
  for (const text of ["", "{}", '{"files":{"model.safetensors":{}}}', "null"]) {
    Deno.writeTextFileSync(`${path}/DONE`, text);
    assertThrows(() => Checkpoint.open(path), CheckpointError, "its marker DONE is damaged");
  }
});

Deno.test("`Checkpoint.openNewest()` names a damaged newest checkpoint, and the one before it", () => {
  using folder = new TemporaryFolder();
  const older = save(folder.path, 100);
  const newest = save(folder.path, 200);
  flip(`${newest}/model.safetensors`);
  const { message } = assertThrows(() => Checkpoint.openNewest(folder.path), CheckpointError);
  assert(message.includes(newest) && message.includes(older), message);
  using checkpoint = Checkpoint.open(older);
  assertEquals(checkpoint.state.step, 100);
});

Deno.test("`Checkpoint.openNewest()` says where it looked if it finds nothing", () => {
  using folder = new TemporaryFolder();
  assertThrows(() => Checkpoint.openNewest(folder.path), CheckpointError, folder.path);
  assertThrows(() => Checkpoint.openNewest(`${folder.path}/none`), CheckpointError, "none");
});

Deno.test("`writeCheckpoint()` keeps as many of the newest as requested", () => {
  using folder = new TemporaryFolder();
  for (const step of [100, 200, 300, 1_000_000]) save(folder.path, step, 2);
  assertEquals(listCheckpoints(folder.path).map(({ step }) => step), [1_000_000, 300]);
  for (const step of [400, 500]) save(folder.path, step, 0);
  assertEquals(listCheckpoints(folder.path).length, 4);
});

Deno.test("`writeCheckpoint()` replaces one of the same step", () => {
  using folder = new TemporaryFolder();
  save(folder.path, 100);
  const state = { ...stateAt(100), lambda: 5 };
  const { path } = writeCheckpoint(folder.path, { state, model: [], optimizer: [] });
  using checkpoint = Checkpoint.open(path);
  assertEquals(checkpoint.state.lambda, 5);
  assertEquals(Array.from(Deno.readDirSync(folder.path)).length, 1);
});

Deno.test("`writeCheckpoint()` leaves older checkpoints alone if a tensor fails", () => {
  using folder = new TemporaryFolder();
  save(folder.path, 100, 1);
  const broken: TensorEntry = { ...tensor("weight", [1]), read: () => new Uint8Array(3) };
  assertThrows(
    () => writeCheckpoint(folder.path, { state: stateAt(200), model: [broken], optimizer: [] }, 1),
    CheckpointError,
  );
  assertEquals(listCheckpoints(folder.path).map(({ step }) => step), [100]);
});

Deno.test("`removeLaterCheckpoints()` drops checkpoints after a step", () => {
  using folder = new TemporaryFolder();
  for (const step of [100, 200, 300]) save(folder.path, step);
  const removed = removeLaterCheckpoints(folder.path, 100).map(({ step }) => step);
  assertEquals(removed, [300, 200]);
  assertEquals(listCheckpoints(folder.path).map(({ step }) => step), [100]);
});

Deno.test("`Checkpoint` refuses a state of another layout", () => {
  using folder = new TemporaryFolder();
  const path = save(folder.path, 1);
  for (const state of [{ ...stateAt(1), format: 2 }, { ...stateAt(1), lambda: null }]) {
    const text = JSON.stringify(state);
    Deno.writeTextFileSync(`${path}/state.json`, text);
    const marker = JSON.parse(Deno.readTextFileSync(`${path}/DONE`));
    const sha256 = createHash("sha256").update(text).digest("hex");
    marker.files["state.json"] = { bytes: text.length, sha256 };
    Deno.writeTextFileSync(`${path}/DONE`, JSON.stringify(marker));
    assertThrows(() => Checkpoint.open(path), CheckpointError, "state.json");
  }
});

Deno.test("`writeCheckpoint()` refuses input that could not be read back, or that would remove everything", () => {
  using folder = new TemporaryFolder();
  const before = save(folder.path, 1);
  const cases: [Partial<CheckpointState>, string][] = [
    [{ lambda: NaN }, "state.lambda"],
    [{ step: 1.5 }, "state.step"],
    [{ seed: -1 }, "state.seed"],
  ];
  for (const [wrong, words] of cases) {
    const contents = { state: { ...stateAt(2), ...wrong }, model: [], optimizer: [] };
    assertThrows(() => writeCheckpoint(folder.path, contents), CheckpointError, words);
  }
  for (const keep of [0.5, -1, NaN]) {
    assertThrows(() => save(folder.path, 2, keep), RangeError, `keep is ${keep}`);
  }
  for (const step of [-1, NaN, 0.5]) {
    assertThrows(() => removeLaterCheckpoints(folder.path, step), RangeError, `step is ${step}`);
  }
  assertEquals(listCheckpoints(folder.path).map(({ path }) => path), [before]);
});
