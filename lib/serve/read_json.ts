/** Reads the body of a request. @module */

import { ApiError } from "./api_error.ts";

/**
 * Reads a JSON object from a request.
 *
 * @param request The request.
 * @param most Most bytes of its body.
 * @returns The object.
 * @throws {ApiError} If the body is too large, not UTF-8 or not a JSON object.
 */
export async function readJsonObject(
  request: Request,
  most: number,
): Promise<Readonly<Record<string, unknown>>> {
  const text = await readText(request, most);
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

/** Reads at most so many bytes; what a client says of the length may be wrong. */
async function readText(request: Request, most: number): Promise<string> {
  if (Number(request.headers.get("content-length")) > most) throw tooLarge(most);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for await (const part of request.body ?? []) {
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

function tooLarge(most: number): ApiError {
  return new ApiError(413, `The body is larger than ${most} bytes, the most this server reads`, {
    code: "body_too_large",
  });
}
