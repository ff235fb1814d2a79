import { homedir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cacheFolder } from "./cache-folder.ts";

describe("cacheFolder", () => {
  it("is IDLM_HOME, else the platform's cache folder", () => {
    expect(cacheFolder({ IDLM_HOME: "/own", XDG_CACHE_HOME: "/xdg" }, "linux")).toBe("/own");
    expect(cacheFolder({ XDG_CACHE_HOME: "/xdg" }, "linux")).toBe(join("/xdg", "idlm"));
    expect(cacheFolder({ XDG_CACHE_HOME: "" }, "linux")).toBe(join(homedir(), ".cache", "idlm"));
    expect(cacheFolder({ XDG_CACHE_HOME: "/xdg" }, "darwin")).toBe(join(homedir(), "Library", "Caches", "idlm"));
    expect(cacheFolder({ LOCALAPPDATA: "C:\\local" }, "win32")).toBe(join("C:\\local", "idlm"));
  });
});
