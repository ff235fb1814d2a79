import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { ChatTemplate } from "./chat-template.ts";

const messages = [{ role: "user", content: "Hi" }];
/** Shorter than the default limit, which another test covers. */
const MAX_RENDER_MS = 800;
const render = (source: string) => new ChatTemplate(source, "made.gguf", MAX_RENDER_MS).render({ messages });

/** Applies `body` `times` times to a variable that starts as `first`, then prints it. */
const repeated = (first: string, body: string, times: number, shown: string) =>
  `{% set n = namespace(s=${first}) %}{% for i in range(${times}) %}{% set n.s = ${body} %}{% endfor %}{{ ${shown} }}`;
const loop = (n: number) => `{% for i${n} in range(100000) %}`;
const endless = `${loop(1)}${loop(2)}${loop(3)}{% endfor %}{% endfor %}{% endfor %}`;
const longText = (doublings: number) => repeated("'aaaaaaaaaaaaaaaa'", "n.s ~ n.s", doublings, "n.s|upper|length");

const children = () =>
  readdirSync("/proc/self/task").flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
const commandOf = (pid: number) => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
};

describe("a hostile template gives an error, and the process continues", () => {
  const peak = process.memoryUsage.rss();

  it.each([
    ["runs forever", endless, /did not finish within 0.8 s/],
    [
      "writes forever",
      `${loop(1)}${loop(2)}aaaaaaaaaaaaaaaaaaaa{% endfor %}{% endfor %}`,
      /did not finish|its process ended/,
    ],
    ["doubles a list", repeated("range(1000)", "n.s + n.s", 60, "n.s|length"), /its process ended|did not finish/],
    ["nests lists", repeated("range(100000)", "[n.s, n.s]", 40, "n.s|tojson"), /its process ended|did not finish/],
    ["doubles a text", longText(60), /Invalid string length/],
    ["asks for one large piece", longText(24), /its process ended|did not finish/],
    [
      "writes a large text",
      repeated("'aaaaaaaaaaaaaaaa'", "n.s ~ n.s", 22, "n.s"),
      /the result has 67108864 characters/,
    ],
    ["counts far", "{{ range(1000000000) }}", /range of 1000000000 is longer than 100000/],
    ["counts by nothing", "{{ range(0, 10, 0) }}", /longer than/],
    ["calls what is not there", "{{ nothing.of.this() }}", /chat template: failed/],
    ["asks for the program", "{{ raise_exception.constructor('return process')() }}", /chat template: failed/],
  ])(
    "%s",
    async (_, source, message) => {
      await expect(render(source)).rejects.toThrow(message);
      expect(await render("{{ messages[0].content }}!")).toBe("Hi!");
      // Its memory is that of another process.
      expect(process.memoryUsage.rss() - peak).toBeLessThan(300e6);
    },
    60_000,
  );

  it.each([
    ["brackets nested deep", `{{ ${"(".repeat(200_000)}1${")".repeat(200_000)} }}`],
    ["blocks nested deep", "{% if true %}".repeat(60_000)],
    ["half a block", "{% if %}"],
    ["more than any template has", "a".repeat(2 ** 20 + 1)],
  ])(
    "%s",
    async (_, source) => {
      await expect(render(source)).rejects.toThrow(/made\.gguf: chat template: expected a Jinja template/);
      expect(await render("{{ messages[0].content }}!")).toBe("Hi!");
    },
    60_000,
  );

  it.runIf(existsSync("/proc/self/task"))("a process that ended while it waited is replaced", async () => {
    expect(await render("a")).toBe("a");
    const running = () => children().filter((pid) => commandOf(pid).includes("template-process"));
    expect(running().length).toBe(1);
    for (const pid of running()) process.kill(pid, "SIGKILL");
    await vi.waitFor(() => expect(running()).toEqual([]));
    // The exit event comes separately.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await render("b")).toBe("b");
  });

  it("variables that are not plain data", async () => {
    const template = new ChatTemplate("{{ f() }}", "made.gguf");
    await expect(template.render({ messages, kwargs: { f: () => "x" } })).rejects.toThrow(/not plain data/);
  });

  it("does not block the caller's thread", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 20);
    await expect(new ChatTemplate(endless, "made.gguf").render({ messages })).rejects.toThrow(
      /did not finish within 3 s/,
    );
    clearInterval(timer);
    expect(turns).toBeGreaterThan(10);
  }, 60_000);
});
