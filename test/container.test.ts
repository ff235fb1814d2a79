import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { collect } from "../src/cli/terminal/collect-io.ts";
import { root } from "./support/doc-examples.ts";
import { startTestServer } from "./support/test-server.ts";

const text = (name: string) => readFileSync(join(root, name), "utf8");
const instructions = text("Dockerfile")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) => ({ word: line.split(" ")[0] ?? "", rest: line.slice(line.indexOf(" ") + 1) }));
const last = (word: string) => instructions.findLast((instruction) => instruction.word === word)?.rest ?? "";
/** Paths of the checkout that are copied. */
const copied = instructions
  .filter(({ word, rest }) => word === "COPY" && !rest.startsWith("--from"))
  .flatMap(({ rest }) => rest.split(" ").slice(0, -1));
const filesBelow = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
const serveOptions = async () => (await collect(["serve", "--help"])).stdout;

describe("Dockerfile and compose.yaml", () => {
  it("copies files that exist and are not ignored", () => {
    const ignored = text(".dockerignore").trim().split("\n");
    expect(copied.length).toBeGreaterThan(8);
    for (const path of copied) {
      expect(existsSync(join(root, path)), path).toBe(true);
      expect(ignored).not.toContain(path.split("/")[0]);
    }
    // What the package itself needs at run time.
    const { files } = JSON.parse(text("package.json")) as { files: string[] };
    for (const needed of ["models", "bench/prompts.jsonl"]) {
      expect(files).toContain(needed);
      expect(copied).toContain(needed);
    }
  });

  it("copies all files that are imported, and no keys", () => {
    const isCopied = (path: string) => copied.some((one) => path === one || path.startsWith(`${one}/`));
    const sources = copied.flatMap((path) => (statSync(join(root, path)).isFile() ? [path] : filesBelow(path)));
    let nImports = 0;
    const isBuilt = (path: string) => /^(src|web|[^/]+)\b.*\.tsx?$/.test(path) && !/\.test\.tsx?$/.test(path);
    for (const source of sources.filter(isBuilt)) {
      // Imports, and files named by URL.
      for (const [, imported = ""] of text(source).matchAll(/(?:\bfrom |\bimport\(?|new URL\() ?"(\.[^"]+)"/g)) {
        nImports++;
        const path = normalize(join(dirname(source), imported));
        if (existsSync(join(root, path))) expect(isCopied(path), `${source}: ${imported}`).toBe(true);
      }
    }
    expect(nImports).toBeGreaterThan(1000);
    const { scripts } = JSON.parse(text("package.json")) as { scripts: Record<string, string> };
    // Named by package.json's scripts.
    for (const path of ["scripts/install.mjs", "web"]) {
      expect(`${scripts.install} ${scripts.build}`).toContain(path);
      expect(isCopied(path), path).toBe(true);
    }
    for (const name of [".dockerignore", ".gitignore"]) expect(text(name).split("\n")).toContain("keys.txt");
  });

  it("runs as a user without rights, on the port of the command", async () => {
    expect(last("USER")).toBe("node");
    expect(await serveOptions()).toContain(`(default: ${last("EXPOSE")})`);
  });

  it("has a health check that succeeds only while the server is healthy", async () => {
    const [, command = ""] = /CMD (\[.*\])$/.exec(last("HEALTHCHECK")) ?? [];
    const [program, ...args] = JSON.parse(command) as string[];
    expect(program).toBe("node");
    const server = await startTestServer();
    await expect.poll(async () => (await server.get("/health")).status).toBe(200);
    const check = () => {
      const ours = args.map((arg) => arg.replace("http://127.0.0.1:8080", server.url));
      expect(ours).not.toEqual(args);
      return promisify(execFile)(process.execPath, ours);
    };
    await check();
    await server.stop();
    await expect(check()).rejects.toMatchObject({ code: 1 });
  });

  it("starts the server with options that exist and let other machines in by key only", async () => {
    const compose = parse(text("compose.yaml")) as {
      services: Record<string, { command: string[]; secrets: string[]; volumes: string[] }>;
      secrets: Record<string, object>;
      volumes: Record<string, object>;
    };
    const { idlm } = compose.services;
    const command = JSON.parse(last("CMD")) as string[];
    expect(idlm?.command).toEqual(command);
    expect(command.slice(0, 2)).toEqual(["serve", "smollm2-135m-instruct"]);
    const help = await serveOptions();
    for (const option of command.filter((word) => word.startsWith("--"))) expect(help).toContain(`${option} `);
    const [secret = ""] = idlm?.secrets ?? [];
    expect(command[command.indexOf("--api-key-file") + 1]).toBe(`/run/secrets/${secret}`);
    expect(Object.keys(compose.secrets)).toContain(secret);
    const [volume = "", folder] = (idlm?.volumes[0] ?? "").split(":");
    expect(Object.keys(compose.volumes)).toContain(volume);
    expect(last("VOLUME")).toBe(folder);
    expect(last("ENV")).toContain(`IDLM_HOME=${folder}`);
  });
});
