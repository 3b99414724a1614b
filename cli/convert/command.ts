/**
 * The `convert` command: Hugging Face folders to runs, and runs to Hugging Face folders.
 *
 * @module
 */

import { dirname } from "node:path";
import { exportModel } from "../../lib/interchange/export_model.ts";
import { importModel } from "../../lib/interchange/import_model.ts";
import { routerLabel, routerOf } from "../../lib/moe/router_of.ts";
import { callingDirectory } from "../shared/arguments.ts";
import { describeError } from "../shared/errors.ts";
import { formatCount } from "../shared/format.ts";
import type { Output } from "../shared/output.ts";
import { requirePermissions } from "../shared/permissions.ts";
import { flagTable } from "../shared/table.ts";
import { CONVERT_FLAGS, type ConvertRequest, convertRequest, parseConvertFlags } from "./flags.ts";

const HELP = `Exchanges models with Hugging Face transformers.

Usage: deno run -A cli/convert.ts import FOLDER --out RUN [FLAGS]
       deno run -A cli/convert.ts export RUN --out FOLDER

${flagTable(CONVERT_FLAGS)}

Examples:
  deno task convert import models/OLMoE-1B-7B --out runs/olmoe
  deno task convert export runs/mine --out models/mine

import reads Llama, Mixtral, OLMoE, Qwen2-MoE and Qwen3-MoE as safetensors and writes a run with a
checkpoint at step 0. export writes the newest checkpoint of a run, or the checkpoint whose folder is
given, in the form that computes the same: Llama, Mixtral or Qwen2-MoE, or for ReLU routing a
Mixtral with a small Python file. What has no such form is refused. docs/convert.md says more.
Errors exit with code 1.`;

/**
 * Runs the command.
 *
 * @param args The command line.
 * @param output Where to write.
 * @returns The exit code.
 */
export async function convertCommand(args: readonly string[], output: Output): Promise<number> {
  try {
    const given = parseConvertFlags(args);
    if (given.has("help")) {
      output.result(HELP);
      return 0;
    }
    const base = callingDirectory();
    const request = convertRequest(given, base);
    const needs = { read: [request.from], write: [dirname(request.out)] };
    await requirePermissions("convert", needs, base);
    output.result(await convert(request));
    return 0;
  } catch (error) {
    output.progress(`error: ${describeError(error)}\n`);
    return 1;
  }
}

async function convert(request: ConvertRequest): Promise<string> {
  return request.action === "import" ? await importText(request) : await exportText(request);
}

async function importText(
  { from, out, sequence }: ConvertRequest & { readonly action: "import" },
): Promise<string> {
  const { family, config, parameters, passedOver } = await importModel(from, out, { sequence });
  const { moe } = config;
  const experts = routerOf(moe).routed ? `, ${moe.active} of ${moe.experts} experts` : "";
  const left = passedOver.length === 0 ? "" : `\nPassed over ${passedOver.join(", ")}`;
  return `Imported    ${family}, ${formatCount(parameters)} weights, router ` +
    `${routerLabel(moe.router)}${experts}${left}\nRun         ${out}`;
}

async function exportText({ from, out }: ConvertRequest): Promise<string> {
  const { family, reason, step, needsTrust } = await exportModel(from, out);
  const trust = needsTrust ? "\nLoad it with trust_remote_code=True" : "";
  return `Exported    step ${step} as ${family}\n${reason}${trust}\nModel       ${out}`;
}
