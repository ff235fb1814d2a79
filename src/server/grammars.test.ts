import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle } from "../../test/support/bundle.ts";
import { engineOver } from "../../test/support/fake-engine.ts";
import { FakeModel } from "../../test/support/fake-model.ts";
import { testServers } from "../../test/support/test-server.ts";

const start = testServers();
let folder = "";
beforeAll(async () => {
  folder = await bundle("src/grammar/thread/worker.ts");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const serve = (grammarThread: string) =>
  start({ settings: { grammarThread }, load: async () => engineOver(new FakeModel()) });
const body = { model: "m", prompt: "a", max_tokens: 9 };

describe("grammars in a thread of their own", () => {
  it("limit answers, streamed or not, and are refused as ever", async () => {
    const { post } = await serve(join(folder, "worker.mjs"));
    const ask = async (grammar: string, stream = false) => {
      const response = await post("/v1/completions", { ...body, grammar, stream });
      return { status: response.status, text: await response.text() };
    };
    const texts = await Promise.all(["ab", "ba", "ab"].map((text) => ask(`root ::= "${text}"`)));
    expect(texts.map(({ text }) => JSON.parse(text).choices[0].text)).toEqual(["ab", "ba", "ab"]);
    expect((await ask('root ::= "bab"', true)).text).toContain('"text":"b');
    for (const stream of [false, true]) {
      const { status, text } = await ask("root ::= root", stream);
      expect([status, JSON.parse(text)]).toMatchObject([400, { error: { param: "grammar" } }]);
      expect(JSON.parse(text).error.message).toMatch(/^grammar: the rule root can start with itself/);
    }
    expect((await ask('root ::= "ab"')).status).toBe(200);
  });

  it("that cannot be started fails requests with grammars alone", async () => {
    const { post, lines } = await serve(join(folder, "missing.mjs"));
    const response = await post("/v1/completions", { ...body, grammar: 'root ::= "ab"' });
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain(folder);
    expect(JSON.stringify(lines)).toContain("missing.mjs");
    expect((await post("/v1/completions", body)).status).toBe(200);
  });
});
