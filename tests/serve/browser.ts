/** Drives a real browser over its DevTools protocol. @module */

import { assert } from "@std/assert";

/** The names under which browsers of the Chromium family are installed. */
const NAMES = [
  ...["chromium-headless-shell", "chromium", "chromium-browser"],
  ...["google-chrome", "google-chrome-stable", "chrome"],
];

/** The path of an installed browser; null if there is none. */
export function findBrowser(): string | null {
  for (const name of NAMES) {
    for (const folder of (Deno.env.get("PATH") ?? "").split(":")) {
      try {
        if (Deno.statSync(`${folder}/${name}`).isFile) return `${folder}/${name}`;
      } catch {
        // Not there.
      }
    }
  }
  return null;
}

/** A message of the protocol. */
interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** A page in a browser without a window. */
export class BrowserPage implements AsyncDisposable {
  /** What the page has reported as failed: exceptions, console errors and requests elsewhere. */
  readonly problems: string[] = [];
  /** The addresses that the page has asked for. */
  readonly requested: string[] = [];
  readonly #process: Deno.ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #pending = new Map<number, (message: Message) => void>();
  #sent = 0;
  #session = "";

  private constructor(process: Deno.ChildProcess, profile: string, socket: WebSocket) {
    this.#process = process;
    this.#profile = profile;
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
  }

  /** Opens an address. */
  static async open(browser: string, url: string, width = 1100, height = 900) {
    const profile = await Deno.makeTempDir();
    const process = new Deno.Command(browser, {
      args: [
        ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        ...["--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"],
      ],
      stderr: "piped",
      stdout: "null",
      stdin: "null",
    }).spawn();
    const socket = new WebSocket(await addressOf(process));
    await new Promise((resolve) => socket.onopen = resolve);
    const page = new BrowserPage(process, profile, socket);
    const { targetId } = await page.#call("Target.createTarget", { url: "about:blank" });
    const attach = { targetId, flatten: true };
    page.#session = String((await page.#call("Target.attachToTarget", attach)).sessionId);
    for (const domain of ["Page", "Runtime", "Network", "Log"]) {
      await page.#call(`${domain}.enable`);
    }
    const metrics = { width, height, deviceScaleFactor: 1, mobile: false };
    await page.#call("Emulation.setDeviceMetricsOverride", metrics);
    await page.#call("Page.navigate", { url });
    await page.until('document.readyState === "complete" && location.href !== "about:blank"');
    return page;
  }

  /** Evaluates an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const call = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await this.#call("Runtime.evaluate", call);
    assert(exceptionDetails === undefined, JSON.stringify(exceptionDetails));
    return (result as { value: T }).value;
  }

  /** Waits until an expression is true in the page. */
  async until(expression: string, seconds = 60): Promise<void> {
    const end = Date.now() + 1000 * seconds;
    while (!await this.evaluate<boolean>(`Boolean(${expression})`)) {
      assert(Date.now() < end, `never: ${expression}\n${this.problems.join("\n")}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Pictures the page as PNG. */
  async picture(): Promise<Uint8Array> {
    const { data } = await this.#call("Page.captureScreenshot", { format: "png" });
    return Uint8Array.fromBase64(String(data));
  }

  /** Shows the page in light or dark colours. */
  async prefer(scheme: "light" | "dark"): Promise<void> {
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await this.#call("Emulation.setEmulatedMedia", { features });
  }

  async #call(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = ++this.#sent;
    const session = this.#session === "" ? {} : { sessionId: this.#session };
    const answer = new Promise<Message>((resolve) => this.#pending.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params, ...session }));
    const { result, error } = await answer;
    assert(error === undefined, `${method}: ${error?.message}`);
    return result!;
  }

  #receive(message: Message): void {
    const { id, method, params } = message;
    if (id !== undefined) {
      this.#pending.get(id)?.(message);
      this.#pending.delete(id);
    }
    if (method === "Runtime.exceptionThrown") this.problems.push(JSON.stringify(params));
    if (method === "Log.entryAdded") this.problems.push(JSON.stringify(params));
    if (method === "Network.requestWillBeSent") {
      this.requested.push((params!.request as { url: string }).url);
    }
  }

  /** Ends the browser. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.onclose = resolve);
    this.#session = "";
    void this.#call("Browser.close").catch(() => {});
    await closed;
    await this.#process.status;
    await this.#process.stderr.cancel();
    await Deno.remove(this.#profile, { recursive: true });
  }
}

/** The address that a browser prints once it listens. */
async function addressOf(process: Deno.ChildProcess): Promise<string> {
  const reader = process.stderr.getReader();
  const decoder = new TextDecoder();
  let said = "";
  for (;;) {
    const { done, value } = await reader.read();
    assert(!done, `the browser has ended:\n${said}`);
    said += decoder.decode(value, { stream: true });
    const found = /DevTools listening on (ws:\S+)/.exec(said);
    if (found === null) continue;
    reader.releaseLock();
    return found[1]!;
  }
}
