import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { hubAccess } from "./access.ts";
import { proxyFor } from "./proxy.ts";
import { retryAfterMs } from "./retry.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-access-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("hubAccess", () => {
  it("reads the token from the environment, else from the usual file", () => {
    const path = join(folder, "token");
    writeFileSync(path, "hf_file\n");
    mkdirSync(join(folder, "huggingface"));
    writeFileSync(join(folder, "huggingface", "token"), "hf_xdg");
    const tokenOf = (environment: NodeJS.ProcessEnv) => hubAccess(environment).token;
    expect(tokenOf({ HF_TOKEN: " hf_own\n", HF_TOKEN_PATH: path })).toBe("hf_own");
    expect(tokenOf({ HUGGING_FACE_HUB_TOKEN: "hf_old", HF_TOKEN_PATH: path })).toBe("hf_old");
    expect(tokenOf({ HF_TOKEN: "", HF_TOKEN_PATH: path })).toBe("hf_file");
    expect(tokenOf({ HF_HOME: folder })).toBe("hf_file");
    expect(tokenOf({ XDG_CACHE_HOME: folder })).toBe("hf_xdg");
    expect(tokenOf({ HF_HOME: join(folder, "none") })).toBeUndefined();
    expect(tokenOf({ HF_TOKEN_PATH: folder })).toBeUndefined();
  });

  it("rejects an invalid token, without repeating it", () => {
    expect(() => hubAccess({ HF_TOKEN: "hf_a b" })).toThrow(/^the token in HF_TOKEN contains invalid characters/);
    expect(() => hubAccess({ HF_TOKEN: "hf_ä" })).toThrow(/HF_TOKEN/);
  });

  it("accepts another hub's address", () => {
    const endpointOf = (HF_ENDPOINT?: string) => hubAccess({ HF_ENDPOINT, HF_TOKEN: "hf_x" }).endpoint;
    expect(endpointOf()).toBe("https://huggingface.co");
    expect(endpointOf("http://localhost:8080/hub//")).toBe("http://localhost:8080/hub");
    for (const wrong of ["localhost", "ftp://a", "https://user:secret@a", "https://a?b", "//a"]) {
      expect(() => endpointOf(wrong), wrong).toThrow(/^HF_ENDPOINT /);
      expect(() => endpointOf(wrong), wrong).not.toThrow(/secret/);
    }
  });
});

describe("proxyFor", () => {
  const proxyOf = (address: string, environment: NodeJS.ProcessEnv) => proxyFor(new URL(address), environment);

  it("reads the same variables as curl", () => {
    expect(proxyOf("https://a.b", {})).toBeUndefined();
    expect(proxyOf("https://a.b", { HTTPS_PROXY: "http://p:1", HTTP_PROXY: "http://q" })).toBe("http://p:1");
    expect(proxyOf("http://a.b", { HTTPS_PROXY: "http://p:1", http_proxy: "q:3128" })).toBe("http://q:3128");
    expect(proxyOf("https://a.b", { ALL_PROXY: "http://p" })).toBe("http://p");
    expect(proxyOf("https://a.b", { https_proxy: "", HTTPS_PROXY: "" })).toBeUndefined();
  });

  it.each([
    ["*", true],
    ["b.c", true],
    [".b.c", true],
    ["*.b.c", true],
    ["x, a.b.c", true],
    ["a.b.c:443", true],
    ["a.b.c:80", false],
    ["c.b", false],
    ["ab.c", false],
    ["", false],
  ])("NO_PROXY=%s exempts https://a.b.c: %s", (exemptions, exempt) => {
    const proxy = proxyOf("https://a.b.c/x", { HTTPS_PROXY: "http://p", NO_PROXY: exemptions });
    expect(proxy).toBe(exempt ? undefined : "http://p");
  });
});

describe("retryAfterMs", () => {
  it("parses seconds and dates, and nothing else", () => {
    const now = Date.parse("Wed, 21 Oct 2015 07:28:00 GMT");
    expect(retryAfterMs("120")).toBe(120_000);
    expect(retryAfterMs("Wed, 21 Oct 2015 07:28:05 GMT", now)).toBe(5000);
    expect(retryAfterMs("Wed, 21 Oct 2015 07:27:00 GMT", now)).toBe(0);
    expect([null, "soon", "", "-"].map((header) => retryAfterMs(header, now))).toEqual(Array(4).fill(undefined));
  });
});
