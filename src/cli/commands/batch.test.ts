import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { collect } from "../terminal/collect-io.ts";

const model = fileURLToPath(new URL("../../../test/fixtures/gguf/tiny64-F16.gguf", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "idlm-batch-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

const input = join(folder, "in.jsonl");
const lines = Array.from({ length: 12 }, (_, i) => {
  const body = { messages: [{ role: "user", content: `Count to ${i}` }], max_tokens: 8, temperature: 0 };
  return JSON.stringify({ custom_id: `r${i}`, method: "POST", url: "/v1/chat/completions", body });
});
writeFileSync(input, `${lines.join("\n")}\n`);

const answers = (path: string) =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("idlm batch", () => {
  it("gives the output of idlm run, whatever else runs, and prints counts", async () => {
    const out = join(folder, "out.jsonl");
    const argv = ["batch", model, "--in", input, "--out", out];
    const { status, stdout, stderr } = await collect([...argv, "--concurrency", "5", "--json"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({ answered: 12, failed: 0, kept: 0, stopped: false });
    const alone = await collect(["run", model, "Count to 7", "--max-tokens", "8", "--json", "--propose", "none"]);
    const seventh = answers(out).find((answer) => answer.custom_id === "r7");
    expect(seventh.response.body.choices[0].message.content).toBe(JSON.parse(alone.stdout).text);
    const again = await collect(argv);
    expect(again).toMatchObject({ status: 0, stdout: "" });
    expect(again.stderr).toContain("0 answered, 12 done before");
  });

  it("reads requests from standard input", async () => {
    const out = join(folder, "piped.jsonl");
    const argv = ["batch", model, "--in", "-", "--out", out, "--json"];
    const { status, stdout, stderr } = await collect(argv, { stdin: `${lines[0]}\n${lines[1]}` });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({ answered: 2, failed: 0 });
    expect(answers(out).map((answer) => answer.custom_id)).toEqual(expect.arrayContaining(["r0", "r1"]));
  });

  it("stops at Ctrl-C and can be resumed", async () => {
    const out = join(folder, "stopped.jsonl");
    const argv = ["batch", model, "--in", input, "--out", out, "--concurrency", "1"];
    const onStderr = (text: string, interrupt: () => void) => {
      if (/20 %.*\n$/.test(text)) interrupt();
    };
    const stopped = await collect(argv, { onStderr });
    expect(stopped).toMatchObject({ status: 130, killed: false });
    expect(stopped.stderr).toContain("Run the same command again to continue.");
    const done = answers(out).length;
    expect(done).toBeLessThan(12);
    expect(await collect(argv)).toMatchObject({ status: 0 });
    expect(new Set(answers(out).map((answer) => answer.custom_id)).size).toBe(12);
  });

  it.each([
    [["--in", join(folder, "none"), "--out", join(folder, "x")], 3, "no such file"],
    [["--in", folder, "--out", join(folder, "x")], 3, "it is not a regular file"],
    [["--in", input, "--out", join(folder, "none", "x")], 3, "x: cannot be written: there is no such folder."],
    [["--in", input, "--out", folder], 3, "cannot be written: it is a folder."],
    [["--in", input, "--out", input], 2, "--in and --out name the same file"],
    [["--in", input], 2, "--out"],
  ])("rejects %j", async (options, status, message) => {
    const result = await collect(["batch", model, ...options]);
    expect(result.status).toBe(status);
    expect(result.stderr).toContain(message);
  });
});
