import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";

import { writeFileAtomically } from "../../lib/data/atomic_file.ts";

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const names = (folder: string) => Array.fromAsync(Deno.readDir(folder), ({ name }) => name);

Deno.test("`writeFileAtomically()` writes, and replaces, a whole file", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "file");
    for (const bytes of [Uint8Array.of(1, 2, 3), new Uint8Array(0), Uint8Array.of(4)]) {
      await writeFileAtomically(path, bytes);
      assertEquals(await Deno.readFile(path), bytes);
    }
    assertEquals(await names(folder), ["file"]);
  });
});

Deno.test("`writeFileAtomically()` leaves nothing behind when it fails", async () => {
  await inFolder(async (folder) => {
    await Deno.mkdir(join(folder, "taken"));
    await assertRejects(() => writeFileAtomically(join(folder, "taken"), Uint8Array.of(1)));
    assertEquals(await names(folder), ["taken"]);
  });
});
