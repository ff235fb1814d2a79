import { expect, it } from "vitest";
import { browserCommand } from "./open-browser.ts";

it("opens what BROWSER names, else what the desktop has, if there is one", () => {
  expect(browserCommand({ BROWSER: "firefox", DISPLAY: ":0" }, "linux")).toEqual(["firefox"]);
  expect(browserCommand({ BROWSER: "none", DISPLAY: ":0" }, "linux")).toBeUndefined();
  expect(browserCommand({ WAYLAND_DISPLAY: "wayland-0" }, "linux")).toEqual(["xdg-open"]);
  expect(browserCommand({}, "linux")).toBeUndefined();
  expect(browserCommand({}, "darwin")).toEqual(["open"]);
});
