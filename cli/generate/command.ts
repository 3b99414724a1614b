/**
 * The `generate` command: from a command line to text.
 *
 * @module
 */

import { DeviceError } from "../../lib/errors.ts";
import { generate, ROOM } from "../../lib/generate/generate.ts";
import { type OpenedModel, openModel } from "../../lib/model/open_model.ts";
import { requireCausal } from "../../lib/model/require_causal.ts";
import { absolutePath, callingDirectory } from "../shared/arguments.ts";
import { describeError } from "../shared/errors.ts";
import { formatCount } from "../shared/format.ts";
import {
  GENERATE_FLAGS,
  type GenerateRequest,
  generateRequest,
  type Input,
  parseGenerateFlags,
} from "./flags.ts";
import { Interrupt, INTERRUPTED } from "../shared/interrupt.ts";
import { openDevice } from "../shared/open_device.ts";
import type { Output } from "../shared/output.ts";
import { requirePermissions } from "../shared/permissions.ts";
import { flagTable } from "../shared/table.ts";

const HELP = `Continues texts with a trained model.

Usage: deno run -A cli/generate.ts --run DIR [FLAGS]

${flagTable(GENERATE_FLAGS)}

Examples:
  deno task generate --run runs/mine --prompt "The people of" --tokens 100
  echo "The people of" | deno task generate --run runs/mine --top-p 0.9 --seed 7
  deno task generate --run runs/mine --prompts beginnings.txt --json > texts.jsonl

Text goes to standard output, everything else to standard error. Several prompts are continued in
parallel and printed one after the other. Ctrl-C ends the text and exits with code 130; errors exit
with code 1.`;

/** A prompt's complete answer. */
interface Answer {
  readonly prompt: string;
  text: string;
  tokens: number;
  finish: string | null;
}

/**
 * Runs the command.
 *
 * @param args The command line.
 * @param output Where to write.
 * @param input Standard input.
 * @returns The exit code.
 */
export async function generateCommand(
  args: readonly string[],
  output: Output,
  input: Input,
): Promise<number> {
  try {
    const given = parseGenerateFlags(args);
    if (given.has("help")) {
      output.result(HELP);
      return 0;
    }
    const base = callingDirectory();
    const files = [
      ...given.values("run"),
      ...given.values("prompt-file"),
      ...given.values("prompts"),
    ];
    const read = files.map((file) => absolutePath(file, base));
    await requirePermissions("generate", { read }, base);
    const request = await generateRequest(given, base, input);
    await requirePermissions("generate", { device: request.device }, base);
    return await runGeneration(request, given.has("json"), output);
  } catch (error) {
    const isRoom = error instanceof DeviceError && error.operation === ROOM;
    output.progress(`error: ${isRoom ? "--tokens: " : ""}${describeError(error)}\n`);
    return 1;
  }
}

async function runGeneration(
  request: GenerateRequest,
  asJson: boolean,
  output: Output,
): Promise<number> {
  using device = await openDevice(request.device);
  using opened = await openModel(device, request.run, { dtype: request.dtype });
  requireCausal("generate", opened.config.moe);
  warnOfLength(request, opened, output);
  using interrupt = new Interrupt({
    onRequest: () => {},
    exit: Deno.exit,
    now: () => performance.now(),
  });
  const closed = new AbortController();
  const { topK, prompts, tokens, temperature, topP, seed, stop } = request;
  const answers = prompts.map((prompt): Answer => ({ prompt, text: "", tokens: 0, finish: null }));
  const streams = prompts.length === 1 && !asJson;
  const started = performance.now();
  // The prompt is printed with the first token: if none can be drawn, only the error is.
  let unprinted = prompts[0]!;
  const pieces = generate(prompts, {
    ...opened,
    device,
    tokens,
    temperature,
    topP,
    seed,
    stop,
    ...(topK === undefined ? {} : { topK }),
    signal: AbortSignal.any([interrupt.signal, closed.signal]),
  });
  for await (const { prompt, text, ...rest } of pieces) {
    const answer = Object.assign(answers[prompt]!, rest);
    answer.text += text;
    if (streams && !output.text(unprinted + text)) closed.abort();
    unprinted = "";
  }
  if (streams) output.text("\n");
  else printAnswers(answers, asJson, output);
  output.progress(`${speed(answers, (performance.now() - started) / 1000)}\n`);
  return interrupt.signal.aborted ? INTERRUPTED : 0;
}

function printAnswers(answers: readonly Answer[], asJson: boolean, output: Output): void {
  for (const [i, { prompt, text, tokens, finish }] of answers.entries()) {
    if (asJson) output.result(JSON.stringify({ prompt, text, tokens, finish }));
    else output.text(`${i === 0 ? "" : "\n"}=== ${i + 1} ===\n${prompt}${text}\n`);
  }
}

function speed(answers: readonly Answer[], seconds: number): string {
  const tokens = answers.reduce((sum, answer) => sum + answer.tokens, 0);
  return `${tokens} tokens in ${seconds.toFixed(2)} s, ${formatCount(tokens / seconds)} tokens/s`;
}

/** Rotary positions extend beyond what the model has seen, but how well is anyone's guess. */
function warnOfLength(
  { prompts, tokens }: GenerateRequest,
  { config, tokenizer }: OpenedModel,
  output: Output,
): void {
  const { sequence } = config.data;
  const longest = prompts.reduce(
    (most, prompt) => Math.max(most, tokenizer.encode(prompt).length),
    0,
  );
  if (1 + longest + tokens <= sequence) return;
  output.progress(
    `Texts may get longer than the ${sequence} tokens that the model was trained on\n`,
  );
}
