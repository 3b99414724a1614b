/**
 * From a command line of `compare` to the configurations of all runs.
 *
 * @module
 */

import { activeWidth } from "../../lib/config/layer_widths.ts";
import type { TrainConfig } from "../../lib/config/config.ts";
import { type LoadedRouter, loadRouter, RouterModule } from "../../lib/config/load_router.ts";
import { BASE } from "../../lib/config/presets.ts";
import { isRouterPath } from "../../lib/config/router_schema.ts";
import { hasKnownFlops } from "../../lib/compare/match_compute.ts";
import type { CompareRow, RowConfigs } from "../../lib/compare/plan.ts";
import { ConfigError } from "../../lib/errors.ts";
import { targetSparsity } from "../../lib/autograd/lambda_rule.ts";
import { routedSizes } from "../../lib/moe/layer_sizes.ts";
import { routerOf } from "../../lib/moe/router_of.ts";
import { ROUTER_KEYS, ROUTER_NAMES, type RouterName, ROUTERS } from "../../lib/moe/routers.ts";
import { absolutePath } from "../shared/arguments.ts";
import { keysInConfigFile } from "../train/config_file.ts";
import { parseTrainFlags } from "../train/flags.ts";
import { trainRequest } from "../train/request.ts";
import { choiceFlag, type CompareArguments, parseSeeds } from "./flags.ts";
import {
  type Cell,
  type Contender,
  OWN,
  parseContenders,
  parseGrid,
  parseSetting,
  type Setting,
} from "./settings.ts";

/** What a command line of `compare` asks for. */
export interface CompareRequest {
  /** Rows of the table, in order. */
  readonly rows: readonly RowConfigs[];
  /** Seeds. */
  readonly seeds: readonly number[];
  /** What is equal among the runs. */
  readonly match: "steps" | "compute";
  /** Remarks on the rows. */
  readonly notices: readonly string[];
}

/** Flags passed on to `train` unchanged. */
const PASSED = ["preset", "config", "steps", "data", "validation-data", "weights"] as const;

/** Settings that keep many runs small: only the last checkpoint, and no samples. */
const FRUGAL: readonly Setting[] = [
  { key: "checkpoint.keep", value: "1" },
  { key: "sample.every", value: "0" },
];

/**
 * Reads what is to be compared, and checks every configuration.
 *
 * @param given The command line.
 * @param base The folder that relative paths are resolved against.
 * @param lowerIsa The instruction set of the noise floor; null: none.
 * @returns The request.
 * @throws {ConfigError} If anything cannot be used; the message names the row.
 */
export async function compareRequest(
  given: CompareArguments,
  base: string,
  lowerIsa: string | null,
): Promise<CompareRequest> {
  refuseOwnKeys(given.value("config"), base);
  const files = await routerFiles(given, base);
  const extra = [...files.values()].flatMap(keysOfFile);
  const contenders = parseContenders(
    given.value("routers"),
    given.values("variant"),
    (path) => absolutePath(path, base),
    extra,
  );
  const common = given.values("set").map((text) => parseSetting("--set", text, extra));
  const cells = parseGrid(given.values("sweep"), extra);
  const seeds = parseSeeds(given.value("seeds") ?? "3");
  const match = choiceFlag("match", given, ["steps", "compute"]);
  const resolve = (contender: Contender, cell: Cell): readonly TrainConfig[] => {
    const settings = [...FRUGAL, ...common, ...cell.settings, ...contender.settings];
    const label = labelOf(contender.name, cell);
    const file = files.get(contender.router);
    const first = rowConfig(label, contender, settings, given, base, file);
    return seeds.map((seed) => ({ ...first, seed }));
  };
  const rows = cells.flatMap((cell) =>
    contenders.map((contender): RowConfigs => {
      const configs = resolve(contender, cell);
      return {
        label: labelOf(contender.name, cell),
        name: contender.name,
        cell: cell.label,
        isa: null,
        target: targetOf(configs[0]!),
        causal: causalityOf(configs[0]!),
        baseline: null,
        matched: null,
        configs,
      };
    })
  );
  const paired = withNoise(withBaseline(rows, given.value("baseline")), given, lowerIsa);
  const matched = match === "steps" ? { rows: paired, notices: [] } : withMatch(paired);
  return { rows: matched.rows, seeds, match, notices: [...widthNotices(rows), ...matched.notices] };
}

/** Names the rows whose own settings change how much a token computes. */
function widthNotices(rows: readonly RowConfigs[]): string[] {
  const widthOf = ({ configs: [config] }: RowConfigs): number => activeWidth(config!);
  return rows.flatMap((row) => {
    const first = rows.find(({ cell }) => cell === row.cell)!;
    const ratio = widthOf(row) / widthOf(first);
    return ratio === 1 ? [] : [
      `${row.label} has ${
        Number(ratio.toPrecision(3))
      } times the active width of ${first.label}, ` +
      `so a token costs ${ratio > 1 ? "more" : "less"} there`,
    ];
  });
}

/** What differs among the runs: a file's value would be overridden without a word. */
const DIFFERING = ["seed", "out", "moe.router"];

function refuseOwnKeys(config: string | undefined, base: string): void {
  if (config === undefined) return;
  const [key] = keysInConfigFile(absolutePath(config, base), DIFFERING);
  if (key === undefined) return;
  throw new ConfigError(
    `Cannot use --config ${config}: it holds ${key}; leave it out and ${OWN[key]}`,
  );
}

function labelOf(name: string, { label }: Cell): string {
  return label === "" ? name : `${name} ${label}`;
}

function targetOf({ moe }: TrainConfig): number | null {
  return routerOf(moe).routed ? targetSparsity(routedSizes(moe)) : null;
}

function causalityOf({ moe, data }: TrainConfig): CompareRow["causal"] {
  const router = routerOf(moe);
  const from = router.causalFrom(data.sequence);
  if (from > 0) return from < data.sequence ? "some" : "none";
  return router.causal ? "all" : "none";
}

/** The files among the routers, loaded. */
async function routerFiles(
  given: CompareArguments,
  base: string,
): Promise<Map<string, LoadedRouter>> {
  const named = [
    ...(given.value("routers")?.split(",") ?? []),
    ...given.values("variant").map((text) => text.replace(/^[^=]*=/, "").replace(/:.*$/s, "")),
  ].map((name) => name.trim());
  const files = new Map<string, LoadedRouter>();
  for (const name of named) {
    if (!isRouterPath(name)) continue;
    const path = absolutePath(name, base);
    files.set(path, await loadRouter(path));
  }
  return files;
}

function keysOfFile(file: LoadedRouter): string[] {
  return file instanceof RouterModule ? Object.keys(file.spec.keys).map((key) => `moe.${key}`) : [];
}

/**
 * The configuration of a row, as `train` would resolve it. A model without experts replaces k
 * full-size ones: its network is k times as wide, and it ignores the sizes of the mixture.
 */
function rowConfig(
  label: string,
  { router, settings: ofOwn }: Contender,
  settings: readonly Setting[],
  given: CompareArguments,
  base: string,
  file: LoadedRouter | undefined,
): TrainConfig {
  try {
    const isRouted = isRouterPath(router) || ROUTERS[router].routed;
    if (isRouted) return trainConfig(router, settings, given, base, file);
    const common = settings.filter(({ key }) => !isRouterKey(key));
    const twin = trainConfig(ROUTED, common, given, base, undefined);
    const own = settings.filter(({ key }) => !isSize(key));
    const width = { key: "model.ffn", value: `${Math.round(activeWidth(twin))}` };
    const hasWidth = ofOwn.some(({ key }) => key === width.key);
    return trainConfig(router, hasWidth ? own : [...own, width], given, base);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const hint = error.message.includes("to be left out with moe.router")
      ? `; give it to the routers that read it alone, by --variant NAME=ROUTER:KEY=VALUE`
      : "";
    throw new ConfigError(`Cannot compare ${label}: ${error.message}${hint}`, { cause: error });
  }
}

/** Any router with experts: sizes mean the same to all of them. */
const ROUTED: RouterName = ROUTER_NAMES.find((name) => ROUTERS[name].routed)!;

function isRouterKey(key: string): boolean {
  return key.startsWith("moe.") && Object.hasOwn(ROUTER_KEYS, key.slice("moe.".length));
}

/** Whether a key sizes the mixture: every key of `moe` that is not a router's. */
function isSize(key: string): boolean {
  const [section, name = ""] = key.split(".");
  return section === "moe" && name in BASE.moe && !isRouterKey(key);
}

function trainConfig(
  router: string,
  settings: readonly Setting[],
  given: CompareArguments,
  base: string,
  file?: LoadedRouter,
): TrainConfig {
  const passed = PASSED.flatMap((name) => given.values(name).map((value) => `--${name}=${value}`));
  const sets = settings.map(({ key, value }) => `--set=${key}=${value}`);
  const flags = parseTrainFlags([...passed, `--router=${router}`, ...sets]);
  const { config } = trainRequest(flags, base, file);
  if (config.validation.every === 0) {
    throw new ConfigError("validation.every is 0, expected at least 1: validation is compared");
  }
  return config;
}

/** Sets the row that each row's difference is relative to. */
function withBaseline(
  rows: readonly RowConfigs[],
  given: string | undefined,
): readonly RowConfigs[] {
  const labels = rows.map(({ label }) => label);
  const names = new Set(rows.map(({ name }) => name));
  const wanted = given ?? "topk";
  if (given !== undefined && !names.has(given) && !labels.includes(given)) {
    throw new ConfigError(`--baseline is ${given}, expected one of ${[...names].join(", ")}`);
  }
  return rows.map((row) => {
    const sameCell = rows.find(({ name, cell }) => name === wanted && cell === row.cell);
    const baseline = sameCell?.label ?? (labels.includes(wanted) ? wanted : null);
    return { ...row, baseline: baseline === row.label ? null : baseline };
  });
}

/** Adds after each baseline the same runs with another instruction set. */
function withNoise(
  rows: readonly RowConfigs[],
  given: CompareArguments,
  isa: string | null,
): readonly RowConfigs[] {
  const where = choiceFlag("noise", given, ["first", "each", "none"]);
  if (where === "none" || isa === null) return rows;
  const baselines = new Set(rows.flatMap(({ baseline }) => baseline === null ? [] : [baseline]));
  // Without any baseline, the first row still has its own noise floor.
  const all = baselines.size > 0
    ? rows.filter(({ label }) => baselines.has(label))
    : rows.slice(0, 1);
  const repeated = new Set(where === "first" ? all.slice(0, 1) : all);
  return rows.flatMap((row) =>
    repeated.has(row)
      ? [row, {
        ...row,
        label: `${row.label} (${isa})`,
        name: `${row.name} (${isa})`,
        isa,
        baseline: row.label,
      }]
      : [row]
  );
}

/** Sets the row whose FLOPs each row may use. */
function withMatch(
  rows: readonly RowConfigs[],
): Pick<CompareRequest, "rows" | "notices"> {
  const notices: string[] = [];
  const matched = rows.map((row): RowConfigs => {
    const reference = rows.find(({ cell, isa, configs }) =>
      cell === row.cell && isa === null && !hasKnownFlops(configs[0]!)
    );
    if (reference === undefined) {
      throw new ConfigError(
        "--match compute needs a router that decides itself how many experts it opens: its FLOPs " +
          "are what the others are given; add relu to --routers",
      );
    }
    // The reference itself, or its repetition with another instruction set.
    if (reference.configs === row.configs) return row;
    if (hasKnownFlops(row.configs[0]!)) return { ...row, matched: reference.label };
    notices.push(
      `${row.label} runs the steps given, like ${reference.label}: how many experts it will open, ` +
        `and so its FLOPs, is not known beforehand`,
    );
    return row;
  });
  return { rows: matched, notices };
}
