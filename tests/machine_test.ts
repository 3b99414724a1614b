import { assertEquals } from "@std/assert";
import { availableCores, availableMemory } from "../lib/machine.ts";
import { CONTROL_GROUP_CASES, writeSystem } from "./control_group_cases.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const CORES = navigator.hardwareConcurrency;
const MEMORY = Deno.systemMemoryInfo().total;

Deno.test("memory and cores follow the tightest control group", async (t) => {
  for (const system of CONTROL_GROUP_CASES) {
    const { name, bytes = Infinity, cores = Infinity } = system;
    await t.step(name, () => {
      using folder = new TemporaryFolder();
      const root = `${folder.path}/`;
      writeSystem(root, system);
      assertEquals(availableMemory(root), Math.min(MEMORY, bytes));
      // Whole threads, at least one.
      assertEquals(availableCores(root), Math.max(1, Math.min(CORES, Math.floor(cores))));
    });
  }
});
