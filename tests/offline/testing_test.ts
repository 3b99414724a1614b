import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  assertSpyCall,
  assertSpyCalls,
  MockError,
  returnsNext,
  spy,
  stub,
} from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import {
  assertType,
  type Has,
  type IsAny,
  type IsExact,
  type IsNever,
  type IsNullable,
  type IsUnknown,
  type NotHas,
} from "@std/testing/types";

Deno.test("`spy()` records the calls of a function", () => {
  const add = spy((a: number, b: number): number => a + b);
  assertEquals(add(1, 2), 3);
  assertSpyCalls(add, 1);
  assertSpyCall(add, 0, { args: [1, 2], returned: 3 });
  assertThrows(() => assertSpyCalls(add, 2));
  assertThrows(() => assertSpyCall(add, 0, { args: [2, 1] }));
  assertThrows(() => add.restore(), MockError);
  const failing = spy((): never => {
    throw new RangeError("no");
  });
  assertThrows(failing, RangeError);
  assert(failing.calls[0]?.error instanceof RangeError);
  assertEquals(spy()(), undefined);
});

Deno.test("`spy()` on a method keeps its behaviour and restores it", () => {
  const counter = { count: 1, next: (): number => ++counter.count };
  const original = counter.next;
  {
    using next = spy(counter, "next");
    assertEquals(counter.next(), 2);
    assertSpyCalls(next, 1);
  }
  assertEquals(counter.next, original);
});

Deno.test("`stub()` replaces a method until it is restored", () => {
  const clock = { now: (): number => 1 };
  const stubbed = stub(clock, "now", returnsNext([7, 8]));
  assertEquals([clock.now(), clock.now()], [7, 8]);
  assertThrows(() => clock.now(), MockError);
  stubbed.restore();
  assertEquals(clock.now(), 1);
  assertThrows(() => stubbed.restore(), MockError);
});

Deno.test("`FakeTime` moves dates and timers when told to", () => {
  const ran: string[] = [];
  {
    using time = new FakeTime(1000);
    assertEquals(Date.now(), 1000);
    assertEquals(new Date().getTime(), 1000);
    setTimeout((name: string) => ran.push(name), 50, "late");
    setTimeout(() => ran.push("early"), 10);
    const id = setInterval(() => ran.push("tick"), 30);
    time.tick(9);
    assertEquals(ran, []);
    time.tick(51);
    assertEquals(ran, ["early", "tick", "late", "tick"]);
    clearInterval(id);
    time.tick(100);
    assertEquals(ran.length, 4);
    assertEquals(time.now, 1160);
    assertThrows(() => time.now = 0);
  }
  assert(Date.now() > 1e12);
});

Deno.test("`FakeTime.tickAsync()` runs promises first", async () => {
  using time = new FakeTime();
  let done = false;
  Promise.resolve().then(() => setTimeout(() => done = true, 10));
  await time.tickAsync(10);
  assert(done);
});

Deno.test("the type assertions distinguish types", () => {
  assertType<IsExact<{ a: 1; b: string }, { a: 1; b: string }>>(true);
  assertType<IsExact<{ a: 1 }, { a: number }>>(false);
  // deno-lint-ignore no-explicit-any
  assertType<IsExact<string, any>>(false);
  assertType<IsExact<string | number, number | string>>(true);
  assertType<IsExact<[1, 2], [1, 2]>>(true);
  assertType<IsExact<[1, 2], number[]>>(false);
  assertType<IsAny<unknown>>(false);
  assertType<IsNever<never>>(true);
  assertType<IsUnknown<unknown>>(true);
  assertType<IsNullable<string | null>>(true);
  assertType<IsNullable<string>>(false);
  assertType<Has<string | number, string>>(true);
  assertType<NotHas<string | number, boolean>>(true);
  // @ts-expect-error the types differ
  assertType<IsExact<string, number>>(true);
});
