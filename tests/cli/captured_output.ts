/** An output that captures what a command writes. @module */

import type { Output } from "../../cli/shared/output.ts";
import { visible } from "../../lib/visible.ts";

/**
 * What a command wrote to its two streams. Properties, not methods, since commands pass the
 * functions on.
 */
export class CapturedOutput implements Output {
  stdout = "";
  stderr = "";
  readonly columns = null;
  readonly result = (text: string): void => void (this.stdout += `${visible(text)}\n`);
  readonly text = (text: string): boolean => (this.stdout += text, true);
  readonly progress = (text: string): void => void (this.stderr += visible(text));
  readonly draw = (text: string): void => void (this.stderr += text);
}
