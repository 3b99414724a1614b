/** Exported calls that the table does not hold: the rule is not shown for them here. @module */

const NAMES: Readonly<Record<string, readonly string[]>> = {
  "BatchSampler": ["state"],
  "": [
    "bundledText",
    "defaultCacheFolder",
    "prepareCorpus",
    "textFiles",
    "generate",
    "parseConfig",
    "parseConfigLayer",
    "resolveConfig",
    "executedFlops",
    "formulaFlops",
    "estimateMemory",
    "checkMemory",
    "isValidation",
    "readMetrics",
    "truncateMetrics",
    "writeSafetensors",
    "listCheckpoints",
    "removeLaterCheckpoints",
    "writeCheckpoint",
    "checkResumable",
    "configHash",
    "findRun",
    "openModel",
    "train",
  ],
  "DataError": ["new"],
  "MixtureSampler": ["new", "state", "next", "restore"],
  "ValidationSet": ["[Symbol.iterator]"],
  "LogitsError": ["new"],
  "JsonlSink": ["new", "write", "flush", "[Symbol.dispose]"],
  "StepProfile": ["new", "enter", "endStep", "summary", "trace", "[Symbol.dispose]"],
  "TensorBoardSink": ["new", "write", "writeSample", "flush", "[Symbol.dispose]"],
  "SafetensorsFile": ["open", "read", "pieces", "[Symbol.dispose]"],
  "Checkpoint": ["open", "openNewest", "[Symbol.dispose]"],
  "RunDirectory": [
    "create",
    "resume",
    "begin",
    "metrics",
    "appendSample",
    "writeCheckpoint",
    "[Symbol.dispose]",
  ],
  "DivergenceError": ["new"],
};

/** Their names, as `exportedCalls()` gives them. The list may only shrink. */
export const OUTSIDE: readonly string[] = Object.entries(NAMES).flatMap(([owner, names]) =>
  names.map((name) => owner === "" ? name : name === "new" ? `new ${owner}` : `${owner}.${name}`)
);
