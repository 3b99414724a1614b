import { assertEquals } from "@std/assert";
import { add, multiply, read, recompute, scale, subtract, sum } from "../../mod.ts";
import { openDevice } from "../tensor/open_device.ts";

Deno.test("both terms of a sum get its gradient, in separate memory", async () => {
  using device = await openDevice();
  const weights = device.from([2, 5], [2]);
  using tape = device.record();
  const a = tape.watch(device.from([1, 2], [2]));
  const b = tape.watch(device.from([3, 4], [2]));
  tape.backward(sum(multiply(add(a, b), weights)));
  const [da, db] = [tape.gradient(a), tape.gradient(b)];
  assertEquals([...await read(da)], [2, 5]);
  da[Symbol.dispose]();
  assertEquals([...await read(db)], [2, 5]);
});

Deno.test("a tensor added to itself has twice the gradient", async () => {
  using device = await openDevice();
  using tape = device.record();
  const a = tape.watch(device.from([1, 2], [2]));
  tape.backward(sum(add(a, a)));
  assertEquals([...await read(tape.gradient(a))], [2, 2]);
});

Deno.test("a residual connection adds only to the gradient of its input", async () => {
  using device = await openDevice();
  using tape = device.record();
  const x = tape.watch(device.from([1, 2], [2]));
  const branch = tape.watch(scale(x, 3));
  const y = tape.watch(add(x, branch));
  const z = tape.watch(subtract(y, scale(y, 0.5)));
  tape.backward(sum(z));
  assertEquals([...await read(tape.gradient(z))], [1, 1]);
  assertEquals([...await read(tape.gradient(y))], [0.5, 0.5]);
  assertEquals([...await read(tape.gradient(branch))], [0.5, 0.5]);
  assertEquals([...await read(tape.gradient(x))], [2, 2]);
});

Deno.test("the initial gradient of a loss is never added to", async () => {
  using device = await openDevice();
  using tape = device.record();
  const a = tape.watch(device.from([1], []));
  const b = tape.watch(scale(a, 10));
  const loss = tape.watch(add(a, b));
  tape.backward(loss, { scale: 2 });
  assertEquals([...await read(tape.gradient(loss))], [2]);
  assertEquals([...await read(tape.gradient(b))], [2]);
  assertEquals([...await read(tape.gradient(a))], [22]);
});

Deno.test("a recomputed sum leaves the outer gradient unchanged", async () => {
  using device = await openDevice();
  using tape = device.record();
  const a = tape.watch(device.from([1, 2], [2]));
  const y = tape.watch(recompute((x) => add(x, scale(x, 3)), a));
  tape.backward(sum(y));
  assertEquals([...await read(tape.gradient(y))], [1, 1]);
  assertEquals([...await read(tape.gradient(a))], [4, 4]);
});
