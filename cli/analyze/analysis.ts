/**
 * The analysis of a model's routing.
 *
 * @module
 */

import { sampleText } from "../../lib/analyze/held_out_text.ts";
import { type DomainRows, planRows } from "../../lib/analyze/mixed_batches.ts";
import { observeRouting } from "../../lib/analyze/observe_routing.ts";
import { type Passage, routePassage, tokenText } from "../../lib/analyze/passage.ts";
import {
  domainActiveReport,
  domainLoadReport,
  type ExpertTokensReport,
  expertTokensReport,
  frequencyReport,
  loadReport,
  sparsityReport,
} from "../../lib/analyze/reports.ts";
import type { Device } from "../../lib/autograd/device.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import type { TokenStream } from "../../lib/data/corpus/token_stream.ts";
import { textFiles } from "../../lib/data/text/text_files.ts";
import type { OpenedModel } from "../../lib/model/open_model.ts";
import { runCorpus } from "../../lib/model/run_corpus.ts";
import type { RoutingReports } from "../../lib/plot/routing_charts.ts";
import { corpusNotices } from "../../lib/train/corpus_notices.ts";
import { visibleName } from "../../lib/visible.ts";
import { formatCount } from "../shared/format.ts";
import type { AnalyzeRequest } from "./flags.ts";

/** The results of an analysis. */
export interface Analysis extends RoutingReports {
  /** The token ids that each expert prefers. */
  readonly expert_tokens: ExpertTokensReport;
  /** Texts with the experts of each token. */
  readonly passages: readonly Passage[];
}

/** The model of an analysis. */
export interface AnalyzedModel {
  /** The run directory. */
  readonly path: string;
  /** Its configuration. */
  readonly config: TrainConfig;
  /** Training steps completed. */
  readonly step: number;
}

/** Input of an analysis. */
export interface AnalysisInput {
  /** The device. */
  readonly device: Device;
  /** The command line. */
  readonly request: AnalyzeRequest;
  /** The contents of the file to show; null for the start of each domain. */
  readonly shown: string | null;
  /** Receives messages for the user. */
  readonly notice: (text: string) => void;
}

/** Most tokens shown of a file, and of a domain. */
const [MOST_OF_FILE, MOST_OF_DOMAIN] = [4096, 512];

/**
 * Measures the routing of a model, and routes the texts to show.
 *
 * @param opened The model.
 * @param input The device and the command line.
 * @returns The results.
 * @throws {DataError} If the text cannot be used.
 */
export async function analyze(opened: OpenedModel, input: AnalysisInput): Promise<Analysis> {
  const { request: { tokens, top, least }, device, notice } = input;
  const { tokenizer, config: { moe, data: { sequence } } } = opened;
  const text = await heldOutText(opened, input);
  const plan = planRows(text, tokens, sequence);
  for (const told of planNotices(plan, tokens)) notice(told);
  const statistics = observeRouting(opened, device, plan);
  const texts = { text: (id: number) => tokenText(id, tokenizer), least };
  return {
    load: loadReport(statistics, moe),
    sparsity: sparsityReport(statistics, moe),
    frequency: frequencyReport(statistics, moe, texts),
    domains: domainLoadReport(statistics, moe),
    domain_active: domainActiveReport(statistics, moe),
    expert_tokens: expertTokensReport(statistics, { ...texts, top }),
    passages: passagesOf(opened, text, input),
  };
}

/** Says what will be measured, and which domains are too short to weigh as much as the others. */
function planNotices(plan: readonly DomainRows[], wanted: number): string[] {
  const total = plan.reduce((sum, { tokens }) => sum + tokens, 0);
  const names = plan.map(({ name }) => visibleName(name));
  const short = plan.length < 2 ? [] : plan.filter(({ isShort }) => isShort);
  return [
    `Routing ${formatCount(total)} tokens of ${names.join(", ")}`,
    ...short.map(({ name, tokens }) =>
      `${visibleName(name)} has ${formatCount(tokens)} of the ` +
      `${
        formatCount(Math.ceil(wanted / plan.length))
      } tokens of its share, and weighs less in the figures ` +
      `over all tokens`
    ),
  ];
}

async function heldOutText(
  { config: { data }, tokenizer, textHash }: OpenedModel,
  { request, notice }: AnalysisInput,
): Promise<ReadonlyMap<string, TokenStream>> {
  if (request.data.length > 0) {
    return await sampleText(textFiles(request.data), tokenizer, request.tokens);
  }
  const { validation, contentHash } = await runCorpus(data, tokenizer, corpusNotices(notice));
  if (textHash !== undefined && textHash !== contentHash) {
    notice(
      "The run's text has changed since: what is held out now may be text it was trained on",
    );
  }
  return new Map([...validation.domains].map(([name, { tokens }]) => [name, tokens]));
}

function passagesOf(
  opened: OpenedModel,
  text: ReadonlyMap<string, TokenStream>,
  { device, request, shown, notice }: AnalysisInput,
): Passage[] {
  const { tokenizer, config: { data: { sequence } } } = opened;
  if (shown === null) {
    return [...text].filter(([, { length }]) => length > 0).map(([name, stream]) => {
      const ids = new Int32Array(Math.min(MOST_OF_DOMAIN, sequence, stream.length));
      stream.read(0, ids);
      return routePassage(opened, device, name, ids);
    });
  }
  const { endOfDocument, beginOfDocument = endOfDocument } = tokenizer;
  const ids = Int32Array.from([beginOfDocument, ...tokenizer.encode(shown)]);
  if (ids.length > MOST_OF_FILE) {
    notice(`Showing the first ${MOST_OF_FILE} of the ${ids.length} tokens of ${request.text}`);
  }
  return [routePassage(opened, device, request.text!, ids.slice(0, MOST_OF_FILE))];
}
