/**
 * The `serve` command: a trained model behind HTTP.
 *
 * @module
 */

import { openModel } from "../../lib/model/open_model.ts";
import { findRun, type FoundRun } from "../../lib/run/find_run.ts";
import type { ServeLimits } from "../../lib/serve/limits.ts";
import { requireServable } from "../../lib/serve/require_servable.ts";
import { Server } from "../../lib/serve/server.ts";
import { visibleName } from "../../lib/visible.ts";
import { callingDirectory } from "../shared/arguments.ts";
import { describeError } from "../shared/errors.ts";
import { formatBytes } from "../shared/format.ts";
import { Interrupt } from "../shared/interrupt.ts";
import { openDevice } from "../shared/open_device.ts";
import type { Output } from "../shared/output.ts";
import { requirePermissions } from "../shared/permissions.ts";
import { flagTable } from "../shared/table.ts";
import { parseServeFlags, SERVE_FLAGS, type ServeRequest, serveRequest } from "./flags.ts";
import { servePage } from "./page.ts";

const HELP = `Answers requests over HTTP with a trained model, as OpenAI's completions API does.

Usage: deno run -A cli/serve.ts RUN [FLAGS]

${flagTable(SERVE_FLAGS)}

Examples:
  deno task serve runs/mine
  deno task serve runs/mine --port 0 --rows 32 --name mine
  curl http://127.0.0.1:8000/v1/completions -d '{"prompt": "The people of", "max_tokens": 50}'

RUN is a run directory (its newest checkpoint is used) or the folder of a checkpoint. A page at /
completes texts live and colours their tokens by expert. Ctrl-C or SIGTERM refuses new requests and
ends once those under way are answered; a second one ends at once. docs/serve.md lists addresses and
fields. Errors exit with code 1.`;

/** Most bytes of a request: a few hundred thousand token ids. */
const BODY = 4 * 2 ** 20;

/** Most seconds that one may take to arrive. */
const BODY_SECONDS = 30;

/**
 * Runs the command.
 *
 * @param args The command line.
 * @param output Where to write.
 * @returns The exit code, once the server has stopped.
 */
export async function serveCommand(args: readonly string[], output: Output): Promise<number> {
  try {
    const given = parseServeFlags(args);
    if (given.has("help")) {
      output.result(HELP);
      return 0;
    }
    const base = callingDirectory();
    const request = serveRequest(given, base);
    const { run, device, host, port } = request;
    const net = port === 0 ? host : `${host}:${port}`;
    await requirePermissions("serve", { read: [run], device, net }, base);
    const found = findRun(run);
    requireServable(found.config.moe);
    await runServer(request, found, output);
    return 0;
  } catch (error) {
    output.progress(`error: ${describeError(error)}\n`);
    return 1;
  }
}

async function runServer(request: ServeRequest, run: FoundRun, output: Output): Promise<void> {
  using device = await openDevice(request.device, { threads: request.threads ?? 0 });
  using opened = await openModel(device, request.run, { dtype: request.dtype });
  const { config, step } = opened;
  const name = request.name ?? run.path.replace(/^.*[/\\]/, "");
  const { host, port, rows, queue, chunk, context = config.data.sequence } = request;
  const limits: ServeLimits = {
    rows,
    queue,
    chunk,
    context,
    body: BODY,
    bodySeconds: BODY_SECONDS,
  };
  const before = device.statistics().inUse;
  await using server = new Server({
    ...{ device, opened, name, limits, host, port },
    page: servePage({ name, step, config, context }),
  });
  using interrupt = new Interrupt({
    signals: ["SIGINT", "SIGTERM"],
    onRequest: () => output.progress("Finishing what has begun; a second Ctrl-C ends at once\n"),
    exit: Deno.exit,
    now: () => performance.now(),
  });
  output.progress(
    `Model       ${visibleName(name)}, router ${config.moe.router}, step ${step}\n` +
      `Room        ${rows} texts of up to ${context} tokens, ` +
      `${formatBytes(device.statistics().inUse - before)}; ${queue} more may wait\n`,
  );
  if (context > config.data.sequence) {
    output.progress(
      `Texts may get longer than the ${config.data.sequence} tokens that the model was trained on\n`,
    );
  }
  output.result(`Listening at ${server.url}`);
  await aborted(interrupt.signal);
  await server.stop();
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
