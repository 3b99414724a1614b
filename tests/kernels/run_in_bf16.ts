/** Runs calls in bf16, and on widened activations in fp32. @module */

import { assertEquals } from "@std/assert";
import { DTypeCode, type KernelContext } from "../../lib/ffi/mod.ts";
import { firstDifference, firstNotRounded, roundedBits, widenedBits } from "./bf16_bits.ts";
import { openKernels } from "./open_library.ts";
import type { Numbers, StorageCall } from "./storage_calls.ts";

/** The best instruction set of the machine. */
export const BEST = "the best instruction set";

/** The contents of a call's buffers by name. */
export type Bytes = Record<string, Uint8Array<ArrayBuffer>>;

/** What a call takes, apart from the contents of its buffers. */
export type BareCall = Pick<StorageCall, "symbol" | "args">;

/**
 * Makes a call on copies of buffers.
 *
 * @param kernels The device.
 * @param call The call.
 * @param dtype The code of its activations' dtype.
 * @param buffers What they hold before.
 * @returns What they hold then.
 */
export function run(
  kernels: KernelContext,
  { symbol, args }: BareCall,
  dtype: number,
  buffers: Readonly<Record<string, Numbers>>,
): Bytes {
  const addresses = new Map<string, bigint>();
  try {
    for (const [name, numbers] of Object.entries(buffers)) {
      addresses.set(name, kernels.allocate(numbers.byteLength));
      kernels.writeBytes(addresses.get(name)!, new Uint8Array(numbers.buffer));
    }
    const call = kernels.symbols[symbol] as (...args: unknown[]) => number;
    const values = args(dtype).map((arg) => typeof arg === "string" ? addresses.get(arg) : arg);
    kernels.check(call(kernels.handle, ...values), symbol);
    return Object.fromEntries(
      [...addresses].map(([name, address]) => {
        const bytes = new Uint8Array(buffers[name]!.byteLength);
        kernels.readBytes(address, bytes);
        return [name, bytes];
      }),
    );
  } finally {
    kernels.free([...addresses.values()]);
  }
}

function mapped<From, To>(of: Readonly<Record<string, From>>, f: (value: From) => To) {
  return Object.fromEntries(Object.entries(of).map(([name, value]) => [name, f(value)]));
}

/**
 * Makes a call in bf16 and on widened activations.
 *
 * @param kernels The device.
 * @param call The call.
 * @returns Its buffers' contents in bf16, and in fp32.
 */
export function runInBoth(
  kernels: KernelContext,
  call: StorageCall,
): { bf16: Bytes; fp32: Bytes } {
  const narrow = mapped(call.activations, (x) => roundedBits(new Uint32Array(x.buffer)));
  const wide = mapped(narrow, widenedBits);
  return {
    bf16: run(kernels, call, DTypeCode.bf16, { ...call.others, ...narrow }),
    fp32: run(kernels, call, DTypeCode.f32, { ...call.others, ...wide }),
  };
}

/**
 * Asserts that a call in bf16 gives what it gives on widened activations, rounded once.
 *
 * @param call The call.
 * @param results Its results in both types.
 * @param names The buffers to compare; all by default.
 */
export function assertRounds(
  call: StorageCall,
  { bf16, fp32 }: { bf16: Bytes; fp32: Bytes },
  names: readonly string[] = Object.keys(bf16),
): void {
  for (const name of names) {
    const [actual, expected] = [bf16[name]!, fp32[name]!];
    const difference = name in call.activations
      ? firstNotRounded(new Uint16Array(actual.buffer), new Uint32Array(expected.buffer))
      : firstDifference(actual, expected);
    assertEquals(difference, undefined, name);
  }
}

/**
 * Asserts that two runs gave the same bits.
 *
 * @param actual The buffers of one.
 * @param expected Those of the other.
 */
export function assertSameBits(actual: Bytes, expected: Bytes): void {
  for (const [name, bytes] of Object.entries(actual)) {
    assertEquals(firstDifference(bytes, expected[name]!), undefined, name);
  }
}

/**
 * Opens a device with an instruction set, or the best one below that the machine has.
 *
 * @param isa Its name, or {@linkcode BEST}.
 * @param threads How many threads.
 * @returns The device.
 */
export function openWith(isa: string, threads: number): KernelContext {
  const before = Deno.env.get("REMOE_ISA");
  if (isa !== BEST) Deno.env.set("REMOE_ISA", isa);
  try {
    return openKernels({ threads });
  } finally {
    if (before === undefined) Deno.env.delete("REMOE_ISA");
    else Deno.env.set("REMOE_ISA", before);
  }
}
