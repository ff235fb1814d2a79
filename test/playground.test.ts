import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasChromium, launchChromium, problemsOf, violationsOf } from "./support/browser.ts";
import { startModelServer } from "./support/model-server.ts";
import { playgroundPage } from "./support/playground-page.ts";
import { type ReplayServer, type ReplaySettings, startReplayServer } from "./support/replay-server.ts";

const QUESTION = "Give me three tips for staying healthy.";

describe.skipIf(!hasChromium)("the playground in a browser", () => {
  let browser: Browser;
  let html = "";
  beforeAll(async () => {
    [browser, html] = await Promise.all([launchChromium(), playgroundPage()]);
  });
  afterAll(() => browser?.close());

  interface Opened {
    readonly page: Page;
    readonly server: ReplayServer;
  }

  /** Opens the page, runs `steps`, and expects that nothing went wrong on the console. */
  async function open(
    steps: (opened: Opened) => Promise<void>,
    settings: Partial<ReplaySettings> = {},
    options: BrowserContextOptions = {},
  ): Promise<void> {
    const server = await startReplayServer(html, settings);
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const problems = problemsOf(page);
    try {
      await page.goto(server.url);
      await steps({ page, server });
      expect(problems).toEqual([]);
    } finally {
      await context.close();
      await server.close();
    }
  }

  async function ask(page: Page, text = QUESTION): Promise<void> {
    await page.getByLabel("Message", { exact: true }).fill(text);
    await page.keyboard.press("Enter");
  }

  const answers = (page: Page) => page.getByRole("article", { name: "Answer" });
  const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
  const done = (page: Page) => button(page, "Retry").last().waitFor();

  it("shows Markdown, where tokens came from, the rounds and what was thrown away", async () => {
    await open(async ({ page, server }) => {
      await ask(page);
      await done(page);
      const answer = answers(page);
      expect(await answer.locator("ol > li").count()).toBe(3);
      expect(await answer.locator("strong", { hasText: "Sleep enough" }).count()).toBe(1);
      expect(await answer.locator("pre code").textContent()).toContain("return day.sleep");
      // All of the text but Markdown's own characters belongs to a token.
      const tokens = (await answer.locator(".token").allInnerTexts()).join("");
      expect(tokens.replace(/\s/g, "")).toBe(
        ((await answer.locator(".markdown").textContent()) ?? "").replace(/\s/g, ""),
      );
      expect(await answer.locator(".token.source-mask-2").count()).toBeGreaterThan(5);
      expect(await answer.locator("del").count()).toBe(0);
      await page.getByLabel("rejected").check();
      expect(await answer.locator("del").count()).toBeGreaterThan(5);
      expect(await answer.locator(".facts").textContent()).toMatch(/174 tokens in 83 forwards.*SHA-256/);
      expect(server.bodies[0]).toMatchObject({ model: "replayed", stream: true, idlm: { rounds: true } });

      await answer.locator(".token.source-mask-2").first().click();
      const strip = page.getByRole("slider", { name: "Forward" });
      const selected = await strip.getAttribute("aria-valuetext");
      expect(await page.locator(".node.accepted").count()).toBeGreaterThan(1);
      expect(await page.locator(".node.drawn").count()).toBe(1);
      await strip.press("ArrowRight");
      expect(await strip.getAttribute("aria-valuetext")).not.toBe(selected);
      await strip.press("Home");
      expect(await strip.getAttribute("aria-valuetext")).toMatch(/^Forward 1: 1 rows, 0 of 0 proposals stood/);
      await page.getByText("Rivals:").click();
      expect(await page.locator(".rivals tr").count()).toBe(5);
      await answer.locator(".token.source-drawn").nth(1).hover();
      expect(await page.getByRole("tooltip").textContent()).toMatch(/^drawn by the base model.*· forward/);
    });
  });

  it("shows what the real server sends: with a tiny model, the bytes that arrived have the hash it reports", async () => {
    const source = fileURLToPath(new URL("fixtures/gguf/tiny64-F16.gguf", import.meta.url));
    const server = await startModelServer(html, source);
    const page = await browser.newPage();
    const problems = problemsOf(page);
    try {
      await page.goto(server.url);
      expect(problems).toEqual([]);
      await button(page, "Race").click();
      await page.getByLabel("Max tokens").fill("24");
      await page.getByRole("button", { name: "Start the race" }).click();
      await page.getByText("Same bytes").waitFor();
      expect(await page.getByText("computed here, too").count()).toBe(2);
      await button(page, "Chat").click();
      await button(page, "Settings").click();
      await page.getByLabel("Max tokens", { exact: true }).fill("24");
      await page.keyboard.press("Escape");
      await ask(page);
      await done(page);
      expect(await answers(page).locator(".facts").textContent()).toMatch(/24 tokens in \d+ forwards.*SHA-256/);
      await page.getByText("Rivals:").click();
      expect(await page.locator(".rivals tr").count()).toBeGreaterThan(4);
    } finally {
      await page.close();
      await server.stop();
    }
  });

  it("stops, edits and retries, and keeps conversations over a reload", async () => {
    await open(
      async ({ page, server }) => {
        await ask(page);
        await answers(page).locator(".token").nth(5).waitFor();
        await page.keyboard.press("Escape");
        await page.getByText("· stopped").waitFor();
        server.settings.tokensPerSecond = 5000;
        await button(page, "Edit").click();
        await page.getByLabel("Edit the message").fill("And four?");
        await page.keyboard.press("Enter");
        await page.getByText(/SHA-256/).waitFor();
        await button(page, "Next seed").click();
        await page.getByText(/SHA-256/).waitFor();
        await done(page);
        expect(server.bodies.map(({ seed }) => seed)).toEqual([undefined, undefined, 1]);
        expect(server.bodies[1]).toMatchObject({ messages: [{ role: "user", content: "And four?" }] });
        await page.getByLabel("Message", { exact: true }).fill("typed, not sent");
        await page.reload();
        expect(await page.getByLabel("Message", { exact: true }).inputValue()).toBe("typed, not sent");
        expect(await answers(page).count()).toBe(1);
        await button(page, "Conversations").click();
        const download = page.waitForEvent("download");
        await button(page, "Export").click();
        const path = await (await download).path();
        expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({
          format: "idlm-conversations",
          conversations: [{ title: QUESTION, messages: [{ content: "And four?" }, { answer: { status: "done" } }] }],
        });
        page.once("dialog", (dialog) => void dialog.accept());
        await page.getByRole("button", { name: `Delete ${QUESTION}` }).click();
        expect(await answers(page).count()).toBe(0);
        await page.getByLabel("File with conversations").setInputFiles(path);
        await page.getByText("Imported 1 conversation.").waitFor();
        expect(await answers(page).count()).toBe(1);
      },
      { tokensPerSecond: 100 },
    );
  });

  it("calls a tool, and goes on with its result", async () => {
    await open(async ({ page, server }) => {
      await button(page, "Settings").click();
      await page.getByRole("button", { name: "Tools (a JSON list, as in the API): use an example" }).click();
      await page.getByLabel("Tool choice").selectOption("required");
      await page.keyboard.press("Escape");
      await ask(page, "What is the weather in Paris?");
      await page.getByLabel("Result of get_weather").fill("12 degrees, cloudy");
      expect(await answers(page).locator(".call").textContent()).toBe('get_weather({"city":"Paris"})');
      await button(page, "Send result").click();
      await page.getByText("The tool says: 12 degrees, cloudy").waitFor();
      const [first, second] = server.bodies;
      expect(first).toMatchObject({ tools: [{ function: { name: "get_weather" } }], tool_choice: "required" });
      const call = { id: "call-1", type: "function", function: { name: "get_weather", arguments: '{"city":"Paris"}' } };
      expect(second).toMatchObject({
        messages: [
          { role: "user", content: "What is the weather in Paris?" },
          { role: "assistant", content: "", tool_calls: [call] },
          { role: "tool", tool_call_id: "call-1", content: "12 degrees, cloudy" },
        ],
      });
    });
  });

  it("races by turns: the same bytes, or what differs", async () => {
    await open(async ({ page, server }) => {
      await button(page, "Race").click();
      await page.getByRole("button", { name: "Start the race" }).click();
      const outcome = page.getByRole("region", { name: "Outcome" });
      await outcome.waitFor();
      expect(await outcome.textContent()).toMatch(/Same bytes[\s\S]*1\.\d\d × as fast/);
      expect(server.bodies.map(({ propose }) => propose)).toEqual(["none", undefined]);
      const hashes = await page.locator(".hash").allInnerTexts();
      expect(hashes).toHaveLength(2);
      expect(new Set(hashes).size).toBe(1);
      expect(hashes[0]).toContain("computed here, too");
      await page.getByLabel("Verification").selectOption("relaxed");
      await page.getByRole("button", { name: "Start the race" }).click();
      await page.getByText("Other bytes, as relaxed verification allows").waitFor();
      expect(await page.locator(".difference").textContent()).toContain("elsewhere");
      expect(server.bodies.map(({ verify }) => verify)).toEqual([undefined, undefined, undefined, "relaxed"]);
    });
  });

  it("waits for a server that is busy or gone, and then goes on", async () => {
    let moved: ReplayServer | undefined;
    await open(
      async ({ page, server }) => {
        await ask(page);
        await page.getByText("The queue is full.").waitFor();
        await answers(page).locator(".token").nth(5).waitFor();
        const port = Number(new URL(server.url).port);
        await server.close();
        await page.getByText("Your message is kept and sent when it is back.").waitFor();
        moved = await startReplayServer(html, {}, port);
        await page.getByText(/SHA-256/).waitFor();
        expect(await answers(page).count()).toBe(1);
        expect(await page.getByText("The server does not answer").count()).toBe(0);
      },
      { tokensPerSecond: 60, busy: 1 },
    );
    await moved?.close();
  });

  it("asks for a key, again if it is wrong", async () => {
    await open(
      async ({ page }) => {
        for (const key of ["wrong", "right"]) {
          await page.getByLabel("Key", { exact: true }).fill(key);
          await page.keyboard.press("Enter");
        }
        await ask(page);
        await done(page);
        expect(await page.getByText("SHA-256").count()).toBe(1);
      },
      { key: "right" },
    );
  });

  it("measures the machine when asked, with the keyboard, and keeps the figures", async () => {
    await open(
      async ({ page, server }) => {
        await page.getByRole("navigation").getByRole("button", { name: "Under the hood" }).focus();
        await page.keyboard.press("Enter");
        const panel = page.getByRole("region", { name: "This machine" });
        await panel.waitFor();
        expect(await panel.getByRole("table").count()).toBe(0);
        await button(page, "Measure").focus();
        await page.keyboard.press("Enter");
        await panel.getByText("Requests ran meanwhile").waitFor();
        expect(await panel.getByRole("status").textContent()).toBe("Measured.");
        expect(await panel.getByRole("row", { name: "reading memory, GB/s 40.0 24.0" }).count()).toBe(1);
        expect(await panel.getByRole("img", { name: /The roofs meet at 20\.0 rows/ }).count()).toBe(1);
        const table = panel.getByRole("region", { name: "Speed-up by rows and tokens per forward" });
        // 1.5 tokens per forward of 4 rows: 1.5 × 2.65 ms / 3.1 ms; by the roofs 4 rows take no longer than one.
        expect(await table.getByRole("row").nth(3).getByRole("cell").allTextContents()).toEqual(
          expect.arrayContaining(["1.28 × (1.50)", "1.71 × (2.00)", "3.42 × (4.00)", ""]),
        );
        expect(await table.locator(".slower").first().textContent()).toBe("0.97 × (1.25)");
        await page.keyboard.press("Alt+1");
        await page.keyboard.press("Alt+3");
        expect(await panel.getByRole("table").count()).toBeGreaterThan(0);
        server.settings.disturbed = false;
        await button(page, "Measure again").click();
        await panel.getByText("Requests ran meanwhile").waitFor({ state: "detached" });
      },
      { disturbed: true },
    );
  });

  const looks = [
    { name: "dark", options: { colorScheme: "dark", viewport: { width: 1280, height: 800 } } },
    { name: "phone", options: { colorScheme: "light", viewport: { width: 360, height: 740 }, hasTouch: true } },
  ] as const;
  it.each(looks)("passes axe and does not overflow ($name)", async ({ name, options }) => {
    await open(
      async ({ page }) => {
        const violations: string[] = [];
        const check = async (what: string) => {
          violations.push(...(await violationsOf(page)).map((text) => `${what}: ${text}`));
          const overflow = await page.evaluate<number>(
            "Math.max(...[document.documentElement, ...document.querySelectorAll('.page, .card')].map((one) => one.scrollWidth - one.clientWidth))",
          );
          expect(overflow, what).toBeLessThanOrEqual(0);
        };
        await check("welcome");
        await ask(page);
        await done(page);
        // What can be done with the answer is in sight, too.
        await page.waitForFunction(
          "(({ scrollTop, scrollHeight, clientHeight }) => scrollHeight - scrollTop - clientHeight < 1)(document.querySelector('.messages'))",
        );
        await page.getByLabel("rejected").check();
        await check("answer");
        if (name === "phone") {
          await page.getByRole("navigation").getByRole("button", { name: "Rounds" }).click();
          await check("rounds");
        }
        await page.getByRole("navigation").getByRole("button", { name: "Chat" }).click();
        await button(page, "Settings").click();
        await check("settings");
        await page.keyboard.press("Escape");
        await page.getByRole("navigation").getByRole("button", { name: "Race" }).click();
        await page.getByRole("button", { name: "Start the race" }).click();
        await page.getByRole("region", { name: "Outcome" }).waitFor();
        await check("race");
        await page.getByRole("navigation").getByRole("button", { name: /hood/i }).click();
        await page.getByText("0 answers being generated").waitFor();
        await check("machine");
        await button(page, "Measure").click();
        await button(page, "Measure again").waitFor();
        for (const summary of await page.locator(".machine summary").all()) await summary.click();
        await check("measured machine");
        expect(violations).toEqual([]);
      },
      {},
      options,
    );
  });
});
