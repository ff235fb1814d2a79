import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fencesOf, makeStandIns, parseExample, root } from "../support/doc-examples.ts";
import { hasPythonModule, python } from "../support/python.ts";
import { type StartedServer, startServer, tiny } from "../support/started-server.ts";

const run = promisify(execFile);
const fences = fencesOf("docs/server.md");
const withInfo = (info: string) => fences.filter((fence) => fence.info === info);
const commandsOf = (info: string) => withInfo(info).flatMap(({ body }) => body.trim().split("\n"));

/** Scripts are written below node_modules, so that their imports resolve. */
let folder: string;
let standIns: string;
let server: StartedServer;
const here = (text: string) => text.replaceAll("http://127.0.0.1:8080", server.url);
beforeAll(async () => {
  mkdirSync(join(root, "node_modules", ".cache"), { recursive: true });
  folder = mkdtempSync(join(root, "node_modules", ".cache", "idlm-docs-"));
  standIns = mkdtempSync(join(tmpdir(), "idlm-docs-"));
  server = await startServer([tiny.path, "--alias", "smollm2-135m-instruct"]);
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
  rmSync(standIns, { recursive: true });
});

describe("docs/server.md", () => {
  it("has examples of every kind", () => {
    for (const info of ["sh serve", "sh client", "js client", "python client"]) {
      expect(withInfo(info).length, info).toBeGreaterThan(0);
    }
  });

  it("starts servers", async () => {
    const words = new Map([...makeStandIns(standIns), ["models", join(root, "test", "fixtures", "gguf")]]);
    for (const line of commandsOf("sh serve")) {
      const [command, ...args] = parseExample(line, words).argv;
      expect(command).toBe("serve");
      const started = await startServer(args);
      await started.stop();
    }
  });

  it.each(commandsOf("sh client"))("%s", async (line) => {
    const { stdout } = await run("sh", [
      "-c",
      here(line).replace(/^curl/, "curl --silent --show-error --fail-with-body"),
    ]);
    expect(stdout).not.toBe("");
    expect(stdout).not.toContain('"error"');
  });

  it.each(withInfo("js client"))("runs $body", async ({ body }) => {
    const script = join(folder, "example.mjs");
    writeFileSync(script, here(body));
    const { stdout } = await run(process.execPath, [script]);
    expect(stdout.trim()).not.toMatch(/^(undefined|null)?$/);
  });

  it.skipIf(!hasPythonModule("openai")).each(withInfo("python client"))("runs $body", async ({ body }) => {
    const { stdout } = await run(python, ["-c", here(body)]);
    expect(stdout.trim()).not.toBe("");
  });
});
