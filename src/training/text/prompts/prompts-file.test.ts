import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { IdlmError } from "../../../errors.ts";
import { FilePrompts } from "./prompts-file.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-prompts-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "prompts.txt");

async function read(content: string | Uint8Array): Promise<FilePrompts> {
  writeFileSync(path, content);
  return FilePrompts.read(path, "It has prompts.", new AbortController().signal);
}

const user = (content: string) => ({ role: "user", content }) as const;

describe("a file of prompts", () => {
  it("has lines of text, and chats", async () => {
    const chat = [user("hi"), { role: "assistant", content: "Hello!" }, user("How are you?")] as const;
    const { prompts, nRepeated } = await read(
      [
        "What is a forest?",
        "",
        JSON.stringify({ id: 7, messages: chat }),
        JSON.stringify(chat.slice(0, 2)),
        "  What is a forest?\r",
        '"quoted" text',
      ].join("\n"),
    );
    expect(prompts.map(({ opening }) => opening)).toEqual([
      [user("What is a forest?")],
      chat,
      [user("hi")],
      [user('"quoted" text')],
    ]);
    // One group with the chat that begins alike.
    expect(prompts[1]?.group).toBe(prompts[2]?.group);
    expect(nRepeated).toBe(1);
  });

  it("has the same fingerprint for the same prompts", async () => {
    const { sha256 } = await read("a b c\n\nd e f");
    expect((await read("a b c\nd e f\na b c\n")).sha256).toBe(sha256);
    expect((await read("d e f\na b c\n")).sha256).not.toBe(sha256);
  });

  it.each([
    ["", /content: expected at least one prompt, found none/],
    [" \n\t\n", /at least one prompt/],
    ["What?\n{", /line 2: expected JSON/],
    ["[1, 2] sort this", /line 1: expected JSON/],
    ["[1]", /line 1\[0\]: expected an object with role and content/],
    ["[]", /line 1: expected 1 to 10000 messages/],
    ["{}", /line 1: messages: expected an array of messages, found nothing/],
    ['{"messages":[{"role":"user"}]}', /line 1: messages\[0\]\.content: expected a string/],
    [
      '{"messages":[{"role":"robot","content":"x"}]}',
      /role: expected one of system, user, assistant, tool, found "robot"/,
    ],
    ['{"messages":[{"role":"assistant","content":"x"}]}', /expected a turn of the user to answer/],
    ['{"messages":[{"role":"user","content":"  "}]}', /expected a turn of the user to answer/],
    [Buffer.from([0x61, 0x0a, 0xff, 0x0a]), /line 2: expected UTF-8/],
    [`${"a".repeat(2 ** 20 + 1)}`, /line 1: expected UTF-8 of at most 1048576 bytes/],
    [`{"messages":${"[".repeat(100_000)}`, /line 1: expected JSON nested at most 64 deep/],
  ])("rejects %j", async (content, message) => {
    await expect(read(content)).rejects.toMatchObject({
      code: "file-malformed",
      message: expect.stringMatching(message),
    });
  });

  it("names a file that is missing, or a folder", async () => {
    const { signal } = new AbortController();
    await expect(FilePrompts.read(join(folder, "none"), "It has prompts.", signal)).rejects.toThrow(
      /none: no such file or folder. It has prompts./,
    );
    await expect(FilePrompts.read(folder, "", signal)).rejects.toMatchObject({ code: "file-unreadable" });
  });

  it("is prompts or an error of the catalogue, whatever its bytes", async () => {
    const line = fc.oneof(fc.string(), fc.json(), fc.constantFrom('{"messages":[', '[{"role":"user","content":"x"}]'));
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 6 }), async (lines) => {
        try {
          const { prompts } = await read(lines.join("\n"));
          for (const { opening } of prompts) expect(opening.at(-1)).toMatchObject({ role: "user" });
        } catch (error) {
          expect(error).toBeInstanceOf(IdlmError);
        }
      }),
      { numRuns: 200 },
    );
  });
});
