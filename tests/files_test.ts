import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { FileError } from "../lib/errors.ts";
import { TEMPORARY, writeAtomically } from "../lib/files.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const names = (folder: string) => Array.from(Deno.readDirSync(folder), ({ name }) => name);

Deno.test("`writeAtomically()` writes or replaces a file as a whole", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/file`;
  for (const bytes of [Uint8Array.of(1, 2, 3), new Uint8Array(0), Uint8Array.of(4)]) {
    writeAtomically(path, bytes);
    assertEquals(Deno.readFileSync(path), bytes);
  }
  writeAtomically(path, "naïve");
  assertEquals(Deno.readTextFileSync(path), "naïve");
  assertEquals(names(folder.path), ["file"]);
});

Deno.test("`writeAtomically()` leaves nothing behind when it fails", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/taken`;
  Deno.mkdirSync(path);
  assertThrows(() => writeAtomically(path, Uint8Array.of(1)), FileError, `Cannot write ${path}`);
  assertEquals(names(folder.path), ["taken"]);
});

Deno.test("leftovers of a killed `writeAtomically()` are recognized by name", () => {
  using folder = new TemporaryFolder();
  const seen: string[] = [];
  const { renameSync } = Deno;
  try {
    Deno.renameSync = (from, to) => {
      seen.push(`${from}`);
      renameSync(from, to);
    };
    writeAtomically(`${folder.path}/file`, "");
  } finally {
    Deno.renameSync = renameSync;
  }
  assertMatch(seen[0]!, TEMPORARY);
  assert(!TEMPORARY.test(`${folder.path}/file.tmp`));
});
