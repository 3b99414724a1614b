/**
 * Renders a chart's specification as SVG. Vega is loaded only here, when there is a chart to draw.
 *
 * @module
 */

import { type Spec, THEME } from "../../lib/plot/theme.ts";
import { textWidth } from "./text_width.ts";

/** What Vega measures text with. */
interface TextMetrics {
  width: (
    item: { readonly fontSize?: number; readonly fontWeight?: unknown },
    text: unknown,
  ) => number;
}

/** Draws a specification as SVG. */
export type Render = (spec: Spec) => Promise<string>;

/**
 * Loads Vega.
 *
 * @param onWarning Called with Vega's warnings; the chart is drawn all the same.
 * @returns The renderer.
 */
export async function loadRenderer(onWarning: (text: string) => void = () => {}): Promise<Render> {
  const [vega, { compile }] = await Promise.all([import("vega"), import("vega-lite")]);
  // deno-lint-ignore no-explicit-any -- the package's types lack it
  const metrics = (vega as any).textMetrics as TextMetrics;
  metrics.width = ({ fontSize, fontWeight }, text) =>
    textWidth(String(text ?? ""), fontSize ?? 11, fontWeight === "bold");
  const logger = vega.logger(vega.Warn);
  logger.warn = (...message) => (onWarning(message.join(" ")), logger);
  return async (spec) => {
    const compiled = compile(withTheme(spec) as unknown as Parameters<typeof compile>[0], {
      logger,
    });
    const view = new vega.View(vega.parse(compiled.spec), { renderer: "none", logger });
    try {
      return await view.toSVG();
    } finally {
      view.finalize();
    }
  };
}

function withTheme(spec: Spec): Spec {
  const config = { ...(THEME["config"] as Spec), ...(spec["config"] as Spec | undefined) };
  return { ...THEME, ...spec, config };
}
