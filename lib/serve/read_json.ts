/** Reads the body of a request. @module */

import { ApiError } from "./api_error.ts";
import type { ServeLimits } from "./limits.ts";

/**
 * Reads a JSON object from a request.
 *
 * @param request The request.
 * @param limits Most bytes of its body, and most seconds until it has arrived.
 * @returns The object.
 * @throws {ApiError} If the body is too large or too slow, not UTF-8 or not a JSON object.
 */
export async function readJsonObject(
  request: Request,
  limits: BodyLimits,
): Promise<Readonly<Record<string, unknown>>> {
  const text = await readText(request, limits);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ApiError(400, `The body is not JSON: ${reason}`, { code: "invalid_json", cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new ApiError(400, "The body is not a JSON object", { code: "invalid_json" });
}

type BodyLimits = Pick<ServeLimits, "body" | "bodySeconds">;

/** Reads at most so many bytes; what a client says of the length may be wrong. */
async function readText(
  request: Request,
  { body: most, bodySeconds }: BodyLimits,
): Promise<string> {
  if (Number(request.headers.get("content-length")) > most) throw tooLarge(most);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for await (const part of inTime(request.body, bodySeconds)) {
    length += part.length;
    if (length > most) throw tooLarge(most);
    parts.push(part);
  }
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ApiError(400, "The body is not UTF-8", { code: "invalid_json", cause });
  }
}

/**
 * Passes on the parts of a body. A client that stops halfway would otherwise hold its connection,
 * and a server that is stopping, for as long as it likes.
 */
async function* inTime(
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null,
  seconds: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (body === null) return;
  const reader = body.getReader();
  const late = Promise.withResolvers<never>();
  late.promise.catch(() => {});
  const timer = setTimeout(() => late.reject(tooSlow(seconds)), 1000 * seconds);
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late.promise]);
      if (done) return;
      yield value;
    }
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
}

function tooSlow(seconds: number): ApiError {
  return new ApiError(408, `The body has not arrived within ${seconds} seconds`, {
    code: "body_too_slow",
    headers: { connection: "close" },
  });
}

function tooLarge(most: number): ApiError {
  return new ApiError(413, `The body is larger than ${most} bytes, the most this server reads`, {
    code: "body_too_large",
  });
}
