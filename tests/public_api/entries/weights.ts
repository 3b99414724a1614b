/** Weights of a user-defined model, saved and loaded. @module */

import * as remoe from "@remoe/remoe";
import * as train from "@remoe/remoe/train";
import { demand, type Entry } from "../entry.ts";
import { demandPath } from "../reference_config.ts";
import type { World } from "../world.ts";

const NUMBERS = [1, -2];

/** Two parameters with different names, holding {@linkcode NUMBERS}. */
function parameters(w: World): remoe.Parameter[] {
  return ["first", "second"].map((name) => {
    const parameter = w.using(w.device.parameter([2], { name }));
    remoe.write(parameter, NUMBERS);
    return parameter;
  });
}

function saved(w: World): string {
  const path = `${w.folder()}/weights.safetensors`;
  remoe.saveWeights(parameters(w), path);
  return path;
}

function demandParameters(list: unknown): asserts list is remoe.Parameter[] {
  demand(Array.isArray(list) || list instanceof Set, "list");
  const names = Array.from(list as Iterable<remoe.Parameter>, (each) => {
    demand(
      String(each).startsWith("Parameter ") && !String(each).includes("disposed"),
      "parameter",
    );
    return each.name;
  });
  demand(new Set(names).size === names.length, "a name twice");
}

/** Saving and loading. */
export const weightFiles: readonly Entry[] = [
  {
    of: "saveWeights",
    make: (w) => [parameters(w), `${w.folder()}/new.safetensors`],
    call: (list, path) => {
      remoe.saveWeights(list, path);
      using file = train.SafetensorsFile.open(path);
      const left = Array.from(Deno.readDirSync(path.slice(0, path.lastIndexOf("/") + 1) || "."));
      return [[...file.tensors.keys()].map((name) => [...file.read(name)]), left.length];
    },
    right: (list, path) => {
      demandParameters(list);
      demandPath(path);
      const bytes = [...new Uint8Array(Float32Array.from(NUMBERS).buffer)];
      return [Array.from(list, () => bytes), 1];
    },
  },
  {
    of: "loadWeights",
    make: (w) => {
      const path = saved(w);
      const list = parameters(w);
      for (const parameter of list) remoe.write(parameter, [0, 0]);
      return [list, path];
    },
    call: async (list, path) => {
      remoe.loadWeights(list, path);
      return await Promise.all(
        Array.from(list as remoe.Parameter[], async (each) => [...await remoe.read(each)]),
      );
    },
    right: (list, path) => {
      demandParameters(list);
      demand(typeof path === "string" && path.endsWith("/weights.safetensors"), "path");
      demand(Array.from(list, ({ name }) => name).sort().join() === "first,second", "names");
      return [NUMBERS, NUMBERS];
    },
  },
];
