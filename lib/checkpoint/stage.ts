/** The stages of training as checkpoints store them; `lib/train/stage.ts` has the rule. @module */

/** A stage of training. */
export type Stage = "dense" | "sparsifying" | "sparse";

/** The stages in the order a run goes through them. */
export const STAGES: readonly Stage[] = ["dense", "sparsifying", "sparse"];

/** The stage a run is in; plain JSON, stored in a checkpoint. */
export interface StageState {
  /** The stage after the last step. */
  readonly stage: Stage;
  /** The step at which `sparsifying` began; null before. */
  readonly sparsifying_from: number | null;
  /** The settling time: the step at which `sparse` began; null before. */
  readonly sparse_from: number | null;
}
