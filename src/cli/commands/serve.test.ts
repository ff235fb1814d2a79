import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { collect } from "../terminal/collect-io.ts";

const model = fileURLToPath(new URL("../../../test/fixtures/gguf/tiny64-F16.gguf", import.meta.url));

describe("idlm serve", () => {
  it("answers with the text of idlm run, streamed or not, and stops with status 0", async () => {
    const messages = [{ role: "user", content: "Count to 7" }];
    const body = { model: "tiny64-F16", messages, max_tokens: 8, temperature: 0 };
    const texts: string[] = [];
    let started: Promise<void> | undefined;
    const ask = async (url: string, interrupt: () => void) => {
      const post = (more: object) =>
        fetch(`${url}/v1/chat/completions`, { method: "POST", body: JSON.stringify({ ...body, ...more }) });
      const whole = JSON.parse(await (await post({})).text());
      texts.push(whole.choices[0].message.content);
      const events = (await (await post({ stream: true })).text()).split("\n\n").filter((event) => event !== "");
      expect(events.at(-1)).toBe("data: [DONE]");
      const chunks = events.slice(0, -1).map((event) => JSON.parse(event.slice("data: ".length)));
      texts.push(chunks.map(({ choices: [choice] }) => choice.delta.content ?? "").join(""));
      interrupt();
    };
    const onStderr = (text: string, interrupt: () => void) => {
      const [, url] = /listening on (\S+)\n/.exec(text) ?? [];
      if (url !== undefined) started ??= ask(url, interrupt);
    };
    const served = await collect(["serve", model, "--port", "0", "--json"], { onStderr });
    await started;
    expect(served.status).toBe(0);
    expect(JSON.parse(served.stdout)).toMatchObject({ url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/) });
    const alone = await collect(["run", model, "Count to 7", "--max-tokens", "8", "--json", "--propose", "none"]);
    expect(texts).toEqual([JSON.parse(alone.stdout).text, JSON.parse(alone.stdout).text]);
  });

  it("ends at once at the second Ctrl-C", async () => {
    let started: Promise<unknown> | undefined;
    const ask = async (url: string, interrupt: () => void) => {
      const body = JSON.stringify({ model: "tiny64-F16", prompt: "a", max_tokens: 200, n: 64, stream: true });
      const response = await fetch(`${url}/v1/completions`, { method: "POST", body });
      interrupt();
      interrupt();
      await response.text().catch(() => {});
    };
    const onStderr = (text: string, interrupt: () => void) => {
      const [, url] = /listening on (\S+)\n/.exec(text) ?? [];
      if (url !== undefined) started ??= ask(url, interrupt);
    };
    const { killed } = await collect(["serve", model, "--port", "0", "--drain", "1"], { onStderr });
    await started;
    expect(killed).toBe(true);
  });

  it.each([
    [["--host", "0.0.0.0"], /other machines may reach 0.0.0.0, so a key is needed/],
    [["--api-key", "short"], /a key of 5 characters. Use 8 or more/],
    [["--api-key", "long enough to be one"], /without spaces/],
    [["--api-key", "a-long-key", "--no-auth"], /--no-auth contradicts --api-key/],
    [["--api-key-file", "no-such-file"], /no-such-file: no such file or folder/],
    [["--cors", "example.com"], /--cors "example.com" is not an origin/],
    [["--port", "70000"], /--port/],
  ])("refuses %j", async (options, message) => {
    const { status, stderr } = await collect(["serve", model, ...options]);
    expect(status).toBeGreaterThan(0);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain("listening");
  });

  it("says which address is in use", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const { status, stderr } = await collect(["serve", model, "--port", String(port)]);
    server.close();
    expect({ status, stderr }).toEqual({
      status: 6,
      stderr: `error: 127.0.0.1:${port}: the address is in use. Choose another --port or --host.\n`,
    });
  });
});
