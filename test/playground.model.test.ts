import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ServeSettings } from "../src/server/settings.ts";
import { hasChromium, launchChromium, problemsOf } from "./support/browser.ts";
import { type ModelServer, startModelServer } from "./support/model-server.ts";
import { playgroundPage } from "./support/playground-page.ts";
import { realModelPath } from "./support/real-model.ts";

const path = realModelPath();
const adapter = fileURLToPath(new URL("../models/smollm2-135m-instruct", import.meta.url));
const QUESTION = "Give me three tips for staying healthy.";
/** Of the greedy answer, as README.md shows it. */
const SHA256 = "bd4dce33b8b515712d3727a7297966e6ce53ebb44ea1c1a69671fd820c5a0618";
/** Has an answer without end, so that it can be stopped on any machine. */
const LONG_QUESTION = "Write a long story about a dragon.";
const MOST_TOKENS = 1500;
const KEY = "the right key".replaceAll(" ", "-");

describe.skipIf(!hasChromium || path === undefined)("the playground with the real model", () => {
  let browser: Browser;
  let html = "";
  beforeAll(async () => {
    [browser, html] = await Promise.all([launchChromium(), playgroundPage()]);
  });
  afterAll(() => browser?.close());

  const start = (settings: Partial<ServeSettings> = {}) => startModelServer(html, path ?? "", { adapter, ...settings });

  async function open(
    steps: (page: Page, server: ModelServer) => Promise<void>,
    settings: Partial<ServeSettings> = {},
    options: BrowserContextOptions = {},
  ): Promise<void> {
    const server = await start(settings);
    const context = await browser.newContext(options);
    context.setDefaultTimeout(120_000);
    const page = await context.newPage();
    const problems = problemsOf(page);
    try {
      await page.goto(server.url);
      await steps(page, server);
      expect(problems).toEqual([]);
    } finally {
      await context.close();
      await server.stop();
    }
  }

  const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
  const tab = (page: Page, name: string) => page.getByRole("navigation").getByRole("button", { name, exact: true });

  async function set(page: Page, label: string, value: string): Promise<void> {
    await button(page, "Settings").click();
    await page.getByLabel(label, { exact: true }).fill(value);
    await page.keyboard.press("Escape");
  }

  async function ask(page: Page, question = QUESTION): Promise<void> {
    await page.getByLabel("Message", { exact: true }).fill(question);
    await button(page, "Send").click();
  }

  it("answers with plain decoding's bytes, and shows every round", async () => {
    await open(async (page) => {
      // The controller's choices depend on measured times; a fixed stride does not.
      await page.route("**/v1/chat/completions", async (route) => {
        const body = { ...(route.request().postDataJSON() as object), propose: "mask", stride: 3 };
        await route.continue({ postData: JSON.stringify(body) });
      });
      await set(page, "Temperature", "0");
      await ask(page);
      await page.locator(`abbr[title$="${SHA256}"]`).waitFor();
      const answer = page.getByRole("article", { name: "Answer" });
      expect(await answer.locator("ol > li").count()).toBe(3);
      const tokens = (await answer.locator(".token").allTextContents()).join("");
      expect(tokens.replace(/\s/g, "")).toBe(
        ((await answer.locator(".markdown").textContent()) ?? "").replace(/\s/g, ""),
      );
      expect(await answer.locator(".token.source-mask-1").count()).toBeGreaterThan(5);
      const [, nTokens, nForwards] = /(\d+) tokens in (\d+) forwards/.exec((await answer.textContent()) ?? "") ?? [];
      expect(Number(nTokens)).toBe(118);
      expect(Number(nForwards)).toBeLessThan(110);

      await answer.locator(".token.source-mask-1").first().click();
      expect(await page.locator(".node.accepted").count()).toBeGreaterThan(0);
      expect(await page.locator(".node.drawn").count()).toBe(1);
      await page.getByText("Rivals:").click();
      // The model's most likely token was drawn.
      expect(await page.locator(".rivals table").first().locator("tr").first().getAttribute("class")).toBe("chosen");

      await button(page, "Conversations").click();
      const download = page.waitForEvent("download");
      await button(page, "Export").click();
      const exported = JSON.parse(readFileSync(await (await download).path(), "utf8"));
      expect(exported.conversations[0].messages[1].answer).toMatchObject({
        status: "done",
        result: { sha256: SHA256 },
      });
    });
  });

  it("calls a tool where one is required", async () => {
    await open(async (page) => {
      await set(page, "Temperature", "0");
      await button(page, "Settings").click();
      await page.getByRole("button", { name: "Tools (a JSON list, as in the API): use an example" }).click();
      await page.getByLabel("Tool choice").selectOption("required");
      await page.keyboard.press("Escape");
      await page.getByLabel("Message", { exact: true }).fill("What is the weather in Paris?");
      await button(page, "Send").click();
      await page.getByLabel("Result of get_weather").first().fill("12 degrees, cloudy");
      const call = (await page.locator(".call").first().textContent()) ?? "";
      expect(JSON.parse(call.slice("get_weather(".length, -1))).toEqual({ city: expect.any(String) });
      await button(page, "Settings").click();
      await page.getByLabel("Tool choice").selectOption("none");
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: /^Send results?$/ }).click();
      await page.locator("abbr[title]").nth(1).waitFor();
      expect(await page.locator(".problem").count()).toBe(0);
    });
  });

  it("races on a phone: the same bytes", async () => {
    await open(
      async (page) => {
        await tab(page, "Race").click();
        await page.getByRole("button", { name: "Start the race" }).click();
        const outcome = page.getByRole("region", { name: "Outcome" });
        await outcome.waitFor();
        expect(await outcome.textContent()).toMatch(/^Same bytes\d\.\d\d × as fast/);
        for (const hash of await page.locator(".hash").allTextContents()) {
          expect(hash).toBe(`SHA-256 ${SHA256} (computed here, too)`);
        }
        await page.getByLabel("Temperature").fill("1");
        await page.getByLabel("Verification").selectOption("relaxed");
        await page.getByRole("button", { name: "Start the race" }).click();
        await page.getByText("Other bytes, as relaxed verification allows").waitFor();
        expect(await page.evaluate<number>("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(0);
      },
      {},
      { viewport: { width: 360, height: 740 }, hasTouch: true },
    );
  });

  it("stops; asks for a key; goes on when the server is back, with the same bytes", async () => {
    let back: ModelServer | undefined;
    await open(
      async (page, server) => {
        for (const key of ["a-wrong-key", KEY]) {
          await page.getByLabel("Key", { exact: true }).fill(key);
          await button(page, "Use this key").click();
        }
        await page.getByText("served", { exact: true }).waitFor();
        await set(page, "Temperature", "0");
        await set(page, "Max tokens", String(MOST_TOKENS));
        await ask(page, LONG_QUESTION);
        await page.locator(".message .token").nth(3).waitFor();
        await page.keyboard.press("Escape");
        await page.getByText("· stopped").waitFor();

        await button(page, "Retry").click();
        await page.locator(".message .token").nth(3).waitFor();
        await server.stop();
        await page.getByText("Your message is kept and sent when it is back.").waitFor();
        back = await start({ apiKeys: [KEY], port: Number(new URL(server.url).port) });
        const response = await fetch(`${server.url}/v1/chat/completions`, {
          method: "POST",
          headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
          body: JSON.stringify({
            ...{ model: "served", messages: [{ role: "user", content: LONG_QUESTION }] },
            ...{ temperature: 0, max_completion_tokens: MOST_TOKENS, idlm: { rounds: true } },
          }),
        });
        const { idlm } = (await response.json()) as { idlm: { result: { sha256: string } } };
        await page.locator(`abbr[title$="${idlm.result.sha256}"]`).waitFor();
        expect(await page.getByText("The server does not answer").count()).toBe(0);
      },
      { apiKeys: [KEY] },
    );
    await back?.stop();
  });
});
