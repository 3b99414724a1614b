import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Runs statements in a process of its own, for what the environment decides when a library opens.
 *
 * @param env Variables, added to those of this process.
 * @param body TypeScript; relative imports start at the root of the checkout.
 * @returns What it printed; a process that fails is an error with all it said.
 */
export async function inChild(env: Record<string, string>, body: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--config", `${ROOT}deno.json`, "-"],
    cwd: ROOT,
    env: { NO_COLOR: "1", REMOE_MEMORY_GUARD: "", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(body));
  await writer.close();
  const { code, signal, stdout, stderr } = await child.output();
  const [printed, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (code !== 0) throw new Error(`Exit code ${code}, signal ${signal}\n${printed}${errors}`);
  return printed!;
}
