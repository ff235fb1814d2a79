import { spawn } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasPythonModule, python } from "../support/python.ts";
import { type StartedServer, startServer, tiny } from "../support/started-server.ts";

interface Report {
  readonly results: readonly { readonly id: string; readonly status: string; readonly errors?: readonly string[] }[];
}

/** The suites by API, and their tests that need a model that sees images. */
const suites = {
  "openai-chat": ["chat-image-input"],
  "open-responses": ["image-input"],
  anthropic: ["anth-image-input"],
};
/** Reasoning is tested only on models with certain names. */
const skipped = ["chat-reasoning-summary", "reasoning-summary", "anth-thinking-display"];

describe.skipIf(!hasPythonModule("llm_comply"))("llm-comply", () => {
  let server: StartedServer;
  beforeAll(async () => {
    server = await startServer([tiny.path]);
  });
  afterAll(async () => server.stop());

  it.each(Object.entries(suites))("%s: all tests pass but %j", async (format, images) => {
    const { results } = await comply(format);
    expect(results.length).toBeGreaterThan(8);
    const failed = results.filter(({ id, status }) => status === "failed" && !images.includes(id));
    expect(failed).toEqual([]);
    expect(results.filter(({ id, status }) => status === "skipped" && !skipped.includes(id))).toEqual([]);
  });

  /** Not waited for in this thread, which other tests may need. */
  function comply(format: string): Promise<Report> {
    const args = ["-m", "llm_comply.cli", "run", "--base-url", `${server.url}/v1`, "--api-key", "none"];
    const child = spawn(python, [...args, "--model", tiny.name, "--format", format, "--json"]);
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", () => {
        if (stdout === "") reject(new Error(stderr));
        else resolve(JSON.parse(stdout) as Report);
      });
    });
  }
});
