/**
 * Training: the loop, and the configuration, schedules, metrics and checkpoints of a run.
 *
 * @module
 */

export type {
  CheckpointConfig,
  ConfigLayer,
  DataConfig,
  DeviceName,
  DTypeName,
  FlipsConfig,
  InitConfig,
  LayerSection,
  LogConfig,
  MemoryConfig,
  ModelConfig,
  MoEConfig,
  OptimizerConfig,
  PresetName,
  RecomputeName,
  SampleConfig,
  ScheduleConfig,
  TokenizerName,
  TrainConfig,
  ValidationConfig,
} from "../config/config.ts";
export type { BalanceName, GateName, RouterName } from "../moe/routers.ts";
export { type LoadedRouter, loadRouter } from "../config/load_router.ts";
export {
  parseConfig,
  parseConfigLayer,
  type ParseConfigOptions,
  resolveConfig,
} from "../config/parse_config.ts";
export { PRESET_NAMES } from "../config/presets.ts";
export { CONFIG_KEYS, type ConfigKey } from "../config/schema.ts";
export { countParameters, type ParameterCount } from "../model/parameter_count.ts";
export {
  type ExecutedFlops,
  executedFlops,
  type ExecutedWork,
  type FlopsLayers,
  type FlopsModel,
  formulaFlops,
} from "../model/flops.ts";
export type { MemoryEstimate } from "./memory_estimate.ts";
export { estimateMemory, type EstimateOptions, type StageMemory } from "./stage_memory.ts";
export { checkMemory, memoryLimit } from "./memory_limit.ts";
export { learningRate, type ScheduleOptions } from "./schedule.ts";
export { advanceStage, initialStage, type StageObservation } from "./stage.ts";
export type { Stage, StageState } from "../checkpoint/stage.ts";
export { JsonlSink, type MetricsSink, readMetrics, truncateMetrics } from "../run/metrics.ts";
export {
  type FlipMetrics,
  isFlips,
  isValidation,
  type MetricsLine,
  type StepMetrics,
  type ValidationMetrics,
} from "../run/metrics_line.ts";
export {
  type ProfileEntry,
  type ProfileOptions,
  type ProfileSummary,
  type StepPhase,
  StepProfile,
  type TraceEvent,
} from "./profile.ts";
export { type TensorBoardOptions, TensorBoardSink } from "../run/tensorboard/sink.ts";
export type { Sample } from "../run/samples.ts";
export type { TrainEvents, TrainOptions, TrainSummary } from "./train_options.ts";
export type { SafetensorsDType, TensorSpec } from "../checkpoint/safetensors_header.ts";
export type { FileDigest } from "../files.ts";
export { SafetensorsFile } from "../checkpoint/safetensors.ts";
export { type TensorEntry, writeSafetensors } from "../checkpoint/write_safetensors.ts";
export type { CheckpointState, InitRecord } from "../checkpoint/state.ts";
export {
  type CheckpointFolder,
  listCheckpoints,
  removeLaterCheckpoints,
} from "../checkpoint/folders.ts";
export { Checkpoint } from "../checkpoint/checkpoint.ts";
export { type CheckpointContents, writeCheckpoint } from "../checkpoint/write_checkpoint.ts";
export { checkResumable, configHash } from "../checkpoint/resume.ts";
export { findRun, type FoundRun } from "../run/find_run.ts";
export { RunDirectory } from "../run/run_directory.ts";
export type { CreateRunOptions } from "../run/folder.ts";
export { DivergenceError, type DivergenceErrorOptions } from "./divergence_error.ts";
export { type OpenedModel, openModel, type OpenModelOptions } from "../model/open_model.ts";
export { train } from "./train.ts";
