import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import { playgroundPage } from "./support/playground-page.ts";

/** What it may be at most, so that it opens at once from anywhere. */
const MAX_GZIP_BYTES = 150_000;

let page = "";
beforeAll(async () => {
  page = await playgroundPage();
});

const contents = (tag: string) =>
  [...page.matchAll(new RegExp(`<${tag}\\b[^>]*>(.*?)</${tag}>`, "gs"))].map(([, text = ""]) => text);

describe("the built playground", () => {
  it("is one small file", () => {
    expect(gzipSync(page).length).toBeLessThan(MAX_GZIP_BYTES);
    // Nothing is loaded from elsewhere.
    const markup = page.replace(/<(script|style)\b[^>]*>.*?<\/\1>/gs, "");
    expect(markup.match(/<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(?!data:)[^"]*"/g)).toBeNull();
  });

  it("allows its own script and styles by their hashes, and nothing else", () => {
    const [, policy = ""] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page) ?? [];
    const hash = (text = "") => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
    const [script, style] = [contents("script"), contents("style")];
    expect([script.length, style.length]).toEqual([1, 1]);
    expect(policy.split("; ").sort()).toEqual(
      [
        ...["base-uri 'none'", "connect-src 'self'", "default-src 'none'", "form-action 'none'", "img-src data:"],
        ...[`script-src ${hash(script[0])}`, `style-src ${hash(style[0])}`],
      ].sort(),
    );
    // The policy comes before what it is for.
    expect(page.indexOf("Content-Security-Policy")).toBeLessThan(page.search(/<(?:script|style)\b/));
  });
});
