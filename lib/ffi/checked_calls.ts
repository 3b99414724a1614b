/** Checks of the numbers passed to a kernel library. @module */

import { shown } from "../arguments.ts";

/** A library function with any parameters. */
type Call = (...args: never[]) => unknown;

/** The range of a C type, and its description in messages. */
interface NativeType {
  readonly holds: (value: unknown) => boolean;
  readonly expected: string;
}

const NATIVE_TYPES: Partial<Record<Deno.NativeResultType & string, NativeType>> = {
  i32: {
    holds: (value) => typeof value === "number" && (value | 0) === value,
    expected: "a whole number from -2147483648 to 2147483647",
  },
  u32: {
    holds: (value) => typeof value === "number" && (value >>> 0) === value,
    expected: "a whole number from 0 to 4294967295",
  },
  u64: {
    holds: (value) => typeof value === "bigint" && BigInt.asUintN(64, value) === value,
    expected: "a bigint from 0 to 2⁶⁴ - 1",
  },
  f32: { holds: (value) => typeof value === "number", expected: "a number" },
  f64: { holds: (value) => typeof value === "number", expected: "a number" },
};

/**
 * Wraps a function in checks of its numeric arguments. Deno rejects numbers outside a C type only
 * until V8 optimises the caller; from then on 2³² + 7 arrives as 7, and 1.5 as 1. Operations check
 * their arguments themselves, with better messages; this catches the one that forgets.
 *
 * @param name The function's C name.
 * @param parameters The C types of its parameters.
 * @param call The function.
 * @returns A function that calls it, or throws a RangeError naming the argument.
 */
export function checkedCall<C extends Call>(
  name: string,
  parameters: readonly Deno.NativeType[],
  call: C,
): C {
  const types = parameters.map((type) => NATIVE_TYPES[type as "i32"]);
  const checked = (...args: unknown[]): unknown => {
    for (let i = 0; i < types.length; i++) {
      const type = types[i];
      if (type !== undefined && !type.holds(args[i])) {
        throw new RangeError(
          `Cannot call ${name}: argument ${i + 1} of ${types.length} is ${shown(args[i])}, ` +
            `expected ${type.expected}`,
        );
      }
    }
    return (call as unknown as (...args: unknown[]) => unknown)(...args);
  };
  return checked as unknown as C;
}
