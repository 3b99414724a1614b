/** The page at `/` in a real browser. Without one, the test is skipped, and says so. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { servePage } from "../../cli/serve/page.ts";
import { Server } from "../../lib/serve/server.ts";
import { BrowserPage, findBrowser } from "./browser.ts";
import { LIMITS, openSmall } from "./small_server.ts";

const BROWSER = findBrowser();
if (BROWSER === null) console.log("skipped: no browser of the Chromium family is installed");

/** A server at a free port, with the page of its model. */
async function listen() {
  const small = await openSmall();
  const { device, opened } = small;
  const page = servePage({ name: "small", step: 3, config: opened.config, context: 64 });
  const options = { device, opened, name: "small", limits: LIMITS, page };
  const server = new Server({ ...options, host: "127.0.0.1", port: 0 });
  return {
    server,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await small[Symbol.asyncDispose]();
    },
  };
}

Deno.test({
  name: "the page completes a text live and colours its tokens, layer by layer",
  ignore: BROWSER === null,
  fn: async () => {
    await using served = await listen();
    const { url } = served.server;
    await using page = await BrowserPage.open(BROWSER!, url);
    const text = () => page.evaluate<string>('document.getElementById("text").textContent');
    const press = (id: string) => page.evaluate(`document.getElementById("${id}").click()`);
    const set = (id: string, value: string) =>
      page.evaluate(`document.getElementById("${id}").value = ${JSON.stringify(value)}`);

    await set("prompt", "Héllo <b>");
    await set("max_tokens", "30");
    await set("seed", "4");
    await press("complete");
    await page.until('document.getElementById("status").textContent.includes("per second")');
    await page.until('document.querySelectorAll("#text span").length >= 40');
    assert((await text()).startsWith("Hé·llo <b>"), await text());
    assertEquals(await page.evaluate('document.querySelectorAll("#text b").length'), 0);
    assertEquals(await page.evaluate('document.querySelectorAll("#text .prompt").length'), 10);

    const paints = () =>
      page.evaluate<string[]>(
        'Array.from(document.querySelectorAll("#text span"), (it) => it.style.backgroundImage)',
      );
    const first = await paints();
    assert(first.some((paint) => paint.startsWith("linear-gradient(color-mix")), first[0]);
    const titles = await page.evaluate<string[]>(
      'Array.from(document.querySelectorAll("#text span"), (it) => it.title)',
    );
    assertMatch(titles[0]!, /^token 72: (no expert|expert \d \(gate [\d.e-]+\))/);
    await page.evaluate('document.querySelectorAll("#layers input")[1].click()');
    assert((await paints()).join() !== first.join(), "the second layer looks like the first");
    await page.evaluate('document.querySelectorAll("#experts button")[0].click()');
    const others = await page.evaluate<number>('document.querySelectorAll("#text .other").length');
    assert(others > 0 && others < first.length, `${others} of ${first.length}`);

    await set("max_tokens", "9999");
    await press("complete");
    await page.until('document.getElementById("status").textContent.includes("together more")');
    assertEquals(new Set(page.requested.map((each) => new URL(each).origin)), new Set([url]));
    // The refused request is the only thing that the browser reports.
    assertEquals(page.problems.filter((problem) => !problem.includes("400")), []);
  },
});

Deno.test({
  name: "the page's button stops a text and frees its row",
  ignore: BROWSER === null,
  fn: async () => {
    await using served = await listen();
    const { url } = served.server;
    await using page = await BrowserPage.open(BROWSER!, url);
    const busy = async () => (await (await fetch(`${url}/health`)).json()).running;
    await page.evaluate(`document.getElementById("max_tokens").value = "60";
      document.getElementById("complete").click()`);
    await page.until('document.getElementById("text").textContent.length > 3');
    await page.evaluate('document.getElementById("cancel").click()');
    await page.until('/stopped|reached/.test(document.getElementById("status").textContent)');
    while (await busy() > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals(await page.evaluate('document.getElementById("complete").disabled'), false);
  },
});
