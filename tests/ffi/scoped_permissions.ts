// Run by permissions_test.ts with few permissions; prints what succeeded.
import { openContext } from "../../lib/ffi/mod.ts";

const [path] = Deno.args;
const { context } = await openContext({ kind: "cpu", threads: 1, ...(path ? { path } : {}) });
const address = context.allocate(4);
context.writeBytes(address, new Uint8Array([1, 2, 3, 4]));
const bytes = new Uint8Array(4);
context.readBytes(address, bytes);
context.free([address]);
console.log(context.info().backend, ...bytes);
context.close();
