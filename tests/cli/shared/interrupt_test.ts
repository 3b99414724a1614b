import { assert, assertEquals, assertFalse } from "@std/assert";
import { Interrupt } from "../../../cli/shared/interrupt.ts";

function setUp(): { interrupt: Interrupt; log: string[]; clock: { now: number } } {
  const log: string[] = [];
  const clock = { now: 5000 };
  const interrupt = new Interrupt({
    onRequest: () => log.push("request"),
    exit: (code) => log.push(`exit ${code}`),
    now: () => clock.now,
  });
  return { interrupt, log, clock };
}

Deno.test("`Interrupt` asks the run to stop at the first Ctrl-C", () => {
  const { interrupt, log } = setUp();
  using _interrupt = interrupt;
  assertFalse(interrupt.signal.aborted);
  interrupt.receive();
  assert(interrupt.signal.aborted);
  assertEquals(log, ["request"]);
});

Deno.test("`Interrupt` treats a second Ctrl-C within a second as the first", () => {
  const { interrupt, log, clock } = setUp();
  using _interrupt = interrupt;
  interrupt.receive();
  clock.now += 999;
  interrupt.receive();
  assertEquals(log, ["request"]);
  clock.now += 1;
  interrupt.receive();
  assertEquals(log, ["request", "exit 130"]);
});

// In a child process, since a SIGINT would end the test runner.
Deno.test("`Interrupt` listens for the process's signal until disposed of", async () => {
  const module = new URL("../../../cli/shared/interrupt.ts", import.meta.url);
  const script = `
    const { Interrupt } = await import(${JSON.stringify(module)});
    {
      using interrupt = new Interrupt({ onRequest: () => console.log("request"), now: () => 0 });
      const heard = new Promise((resolve) => interrupt.signal.addEventListener("abort", resolve));
      Deno.kill(Deno.pid, "SIGINT");
      await heard;
    }
    Deno.kill(Deno.pid, "SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 10_000));`;
  const command = new Deno.Command(Deno.execPath(), { args: ["eval", "--ext=js", script] });
  const { stdout, signal } = await command.output();
  assertEquals([new TextDecoder().decode(stdout), signal], ["request\n", "SIGINT"]);
});
