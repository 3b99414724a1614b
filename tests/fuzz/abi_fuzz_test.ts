import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { SYMBOLS } from "../../lib/ffi/symbols.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { CALLED, NOT_CALLED } from "./abi_calls.ts";

const CALLS = fileURLToPath(new URL("./abi_calls.ts", import.meta.url));

Deno.test("every function of the contract is called with wrong arguments", () => {
  assertEquals([...CALLED, ...NOT_CALLED].sort(), Object.keys(SYMBOLS).sort());
});

Deno.test("no combination of wrong arguments ends the process", async () => {
  using folder = new TemporaryFolder();
  const seed = Number(Deno.env.get("REMOE_FUZZ_SEED") || Math.floor(Math.random() * 2 ** 31));
  const runs = Deno.env.get("REMOE_FUZZ_RUNS") || "40";
  const file = `${folder.path}/last`;
  const { success, code, signal, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", CALLS, `${seed}`, runs, file],
    env: { NO_COLOR: "1" },
  }).output();
  const call = await Deno.readTextFile(file).catch(() => "no call");
  assert(
    success,
    `REMOE_FUZZ_SEED=${seed}: ${signal ?? `code ${code}`} at ${call}\n${
      new TextDecoder().decode(stderr)
    }`,
  );
});
