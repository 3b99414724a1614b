/** What a server accepts. @module */

/** Bounds on what a server holds at once. */
export interface ServeLimits {
  /** Texts that grow at the same time: rows of the key/value cache. */
  readonly rows: number;
  /** Most tokens of a text, its prompt included. */
  readonly context: number;
  /** Most texts that wait for a row. */
  readonly queue: number;
  /** Most tokens of prompts that one step reads. */
  readonly chunk: number;
  /** Most bytes of a request's body. */
  readonly body: number;
  /** Most seconds that a body may take to arrive. */
  readonly bodySeconds: number;
}
