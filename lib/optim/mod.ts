/** Optimizers. @module */

export { AdamW, type AdamWOptions, type Moments } from "./adamw.ts";
