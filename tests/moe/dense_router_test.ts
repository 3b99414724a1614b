import { assertEquals } from "@std/assert";
import { DenseRouter, read } from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";

Deno.test("DenseRouter sends every token to every expert with gate 1", async () => {
  using device = await openDevice();
  using router = new DenseRouter(device, { hidden: 4, experts: 3 });
  using _scope = device.scope();
  const routing = router.route(device.normal([5, 4]));
  assertEquals([...await read(routing.gates)], new Array(15).fill(1));
  assertEquals([...await read(routing.counts)], [5, 5, 5]);
  assertEquals(await routing.sparsity(), 0);
  assertEquals(await routing.regularization(), 0);
  assertEquals(router.active, 3);
  assertEquals([...router.parameters()], []);
});

Deno.test("DenseRouter has one expert unless told otherwise", async () => {
  using device = await openDevice();
  using router = new DenseRouter(device, { hidden: 4, experts: 1 });
  using _scope = device.scope();
  assertEquals([...await read(router.route(device.normal([2, 4])).gates)], [1, 1]);
});
