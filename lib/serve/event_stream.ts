/** Server-sent events, as clients of the API read them. @module */

/** A stream of JSON messages that ends with `[DONE]`. What is sent after its end is dropped. */
export class EventStream {
  readonly #stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly #encoder = new TextEncoder();
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  #isOpen = true;

  /**
   * Opens a stream.
   *
   * @param leave Called if the client leaves before the end.
   */
  constructor(leave: () => void) {
    this.#stream = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => {
        this.#isOpen = false;
        leave();
      },
    });
  }

  /**
   * Sends a message.
   *
   * @param message Anything that JSON holds.
   */
  send(message: object): void {
    this.#write(JSON.stringify(message));
  }

  /** Ends the stream. */
  end(): void {
    this.#write("[DONE]");
    if (this.#isOpen) this.#controller.close();
    this.#isOpen = false;
  }

  /** The answer that carries the stream. */
  response(): Response {
    return new Response(this.#stream, {
      headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
    });
  }

  #write(data: string): void {
    if (this.#isOpen) this.#controller.enqueue(this.#encoder.encode(`data: ${data}\n\n`));
  }
}
