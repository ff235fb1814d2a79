import { describe, expect, it } from "vitest";
import { ChatTemplate } from "./chat-template.ts";

const messages = [{ role: "user", content: "Hi" }];
/** Lower than the default limit, which another test covers. */
const MAX_STEPS = 1_000_000;
const render = (source: string) => new ChatTemplate(source, "made.gguf", MAX_STEPS).render({ messages });

/** Applies `body` `times` times to a variable that starts as `first`, then prints it. */
const repeated = (first: string, body: string, times: number, shown: string) =>
  `{% set n = namespace(s=${first}) %}{% for i in range(${times}) %}{% set n.s = ${body} %}{% endfor %}{{ ${shown} }}`;
const loop = (n: number) => `{% for i${n} in range(100000) %}`;
const endless = `${loop(1)}${loop(2)}${loop(3)}{% endfor %}{% endfor %}{% endfor %}`;
const longText = (doublings: number) => repeated("'aaaaaaaaaaaaaaaa'", "n.s ~ n.s", doublings, "n.s|upper|length");

describe("a hostile template gives an error, and later ones render", () => {
  const peak = process.memoryUsage.rss();

  it.each([
    ["runs forever", endless, /did not finish within 1000000 steps/],
    ["writes forever", `${loop(1)}${loop(2)}aaaaaaaaaaaaaaaaaaaa{% endfor %}{% endfor %}`, /did not finish/],
    ["doubles a list", repeated("[1, 2]", "n.s + n.s", 60, "n.s|length"), /did not finish|is longer than/],
    ["nests lists", repeated("[1]", "[n.s, n.s]", 40, "n.s|tojson"), /did not finish/],
    ["nests lists, and prints them", repeated("[1]", "[n.s, n.s]", 40, "n.s"), /did not finish/],
    ["nests lists deep", repeated("[1]", "[n.s]", 50_000, "n.s"), /nests too deeply/],
    ["prints itself", "{% set n = namespace() %}{% set n.n = n %}{{ n }}", /nests too deeply/],
    ["calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", /nests too deeply/],
    ["doubles a text", longText(60), /is longer than|did not finish/],
    ["repeats a text", "{{ 'a' * 10 ** 12 }}", /is longer than/],
    ["pads a text", "{{ 'a'.ljust(10 ** 12) }}", /is longer than/],
    ["formats a wide text", "{{ '%999999999d' % 1 }}", /too big/],
    ["indents a wide text", "{{ ('a\n' * 5000)|indent(10 ** 9) }}", /is longer than/],
    ["replaces by a long text", "{{ ('a' * 10000).replace('a', 'b' * 10000) }}", /is longer than/],
    ["raises a number", "{{ 9 ** (9 ** 9) }}", /too large/],
    [
      "searches a long text",
      "{% set s = ' ' * 100000 %}{% for i in range(100000) %}{% if s.strip() %}{% endif %}{% endfor %}",
      /did not finish/,
    ],
    [
      "writes a large text",
      repeated("'aaaaaaaaaaaaaaaa'", "n.s ~ n.s", 21, "n.s ~ n.s"),
      /is longer than|did not finish/,
    ],
    ["counts far", "{{ range(1000000000) }}", /range of 1000000000 is longer than 100000/],
    ["counts by nothing", "{{ range(0, 10, 0) }}", /must not be zero/],
    ["calls what is not there", "{{ nothing.of.this() }}", /chat template: failed/],
    ["asks for the program", "{{ raise_exception.constructor('return process')() }}", /chat template: failed/],
    ["asks for a prototype", "{{ messages.__proto__.x }}", /chat template: failed/],
  ])(
    "%s",
    async (_, source, message) => {
      await expect(render(source)).rejects.toThrow(message);
      expect(await render("{{ messages[0].content }}!")).toBe("Hi!");
      expect(process.memoryUsage.rss() - peak).toBeLessThan(600e6);
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

  it("variables that are not plain data", async () => {
    const template = new ChatTemplate("{{ f() }}", "made.gguf");
    await expect(template.render({ messages, kwargs: { f: () => "x" } })).rejects.toThrow(/not plain data/);
  });

  it("lets other work run meanwhile", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await expect(new ChatTemplate(endless, "made.gguf").render({ messages })).rejects.toThrow(/did not finish/);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  }, 60_000);
});
