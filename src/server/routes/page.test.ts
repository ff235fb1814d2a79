import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, describe, expect, it } from "vitest";
import { startServer } from "../server.ts";
import { defaultSettings } from "../settings.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-page-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function get(page: string | undefined, headers = {}): Promise<Response> {
  const load = () => Promise.reject(new Error("no model"));
  const settings = { ...defaultSettings, port: 0, apiKeys: ["a key of the server"], page };
  const server = await startServer({ specs: [], load, settings, log: pino({ level: "silent" }) });
  try {
    const response = await fetch(`${server.url}/`, { headers });
    return new Response(await response.text(), response);
  } finally {
    await server.stop();
  }
}

describe("GET /", () => {
  const path = join(folder, "page.html");
  const html = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'sha256-x'"><p>é</p>`;

  it("needs no key, and has the page with its policy as a header", async () => {
    writeFileSync(path, html);
    const response = await get(path);
    expect(response.status).toBe(200);
    expect(await response.text()).toBe(html);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": "default-src 'none'; script-src 'sha256-x'; frame-ancestors 'none'",
      "x-content-type-options": "nosniff",
    });
  });

  it("is no page for others: Origin is checked", async () => {
    expect((await get(path, { origin: "https://example.com" })).status).toBe(403);
  });

  it.each([undefined, join(folder, "none.html")])("says that it was not built (%s)", async (missing) => {
    const response = await get(missing);
    expect([response.status, await response.text()]).toEqual([404, expect.stringMatching(/not built/)]);
  });
});
