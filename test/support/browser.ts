import { existsSync } from "node:fs";
import axe from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";

/** Debian's and others' Chromium; IDLM_CHROMIUM names another one. */
const places = [process.env.IDLM_CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executable = places.find((path) => path !== undefined && existsSync(path));

export const hasChromium = executable !== undefined;
if (!hasChromium) console.warn("skipped: the tests of the playground need Chromium (apt-get install chromium)");

export function launchChromium(): Promise<Browser> {
  const isRoot = process.getuid?.() === 0;
  return chromium.launch({
    ...(executable !== undefined && { executablePath: executable }),
    // Chromium's sandbox does not run as root.
    args: isRoot ? ["--no-sandbox"] : [],
  });
}

/** Messages on the console and errors of a page; empty if all went well. */
export function problemsOf(page: Page): string[] {
  const problems: string[] = [];
  page.on("console", (message) => {
    // Chromium reports failed requests there, too.
    const isExpected = message.text().startsWith("Failed to load resource");
    if ((message.type() === "error" || message.type() === "warning") && !isExpected) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error.stack)));
  return problems;
}

/** Violations of WCAG 2.2 A and AA on what is shown, as lines of text. */
export async function violationsOf(page: Page): Promise<string[]> {
  // Evaluated by the browser's debugger, which the page's policy does not concern.
  await page.evaluate(axe.source);
  const { violations } = (await page.evaluate(
    "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })",
  )) as axe.AxeResults;
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${help} (${target.join(" ")}) ${failureSummary ?? ""}`),
  );
}
