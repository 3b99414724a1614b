/** The stages of training as a checkpoint keeps them; `lib/train/stage.ts` has the rule. @module */

/** A stage of training. */
export type Stage = "dense" | "sparsifying" | "sparse";

/** The stages in the order in which a run goes through them. */
export const STAGES: readonly Stage[] = ["dense", "sparsifying", "sparse"];

/** Where a run is in its stages; plain JSON, part of a checkpoint. */
export interface StageState {
  /** The stage after the last step. */
  readonly stage: Stage;
  /** The step that began `sparsifying`; null before. */
  readonly sparsifying_from: number | null;
  /** The settling time: the step that began `sparse`; null before. */
  readonly sparse_from: number | null;
}
