import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Runs statements in a child process, to test what the environment decides when a library opens.
 *
 * @param env Variables added to this process's environment.
 * @param body TypeScript; relative imports are resolved against the checkout's root.
 * @returns What it printed; if the process fails, throws an error with its whole output.
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
