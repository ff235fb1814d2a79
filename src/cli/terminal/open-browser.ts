import { spawn } from "node:child_process";
import type { CliIo } from "./io.ts";

/** Opens an address in the user's browser. Returns whether there is one to try: BROWSER, or the desktop's. */
export function openBrowser(io: CliIo, url: string): boolean {
  const command = browserCommand(io.env, process.platform);
  const [program, ...args] = command ?? [];
  if (program === undefined) return false;
  const child = spawn(program, [...args, url], { stdio: "ignore", detached: true });
  // The address was printed; who has no such program follows it.
  child.on("error", () => {});
  child.unref();
  return true;
}

/** The program that opens an address, and its first arguments; undefined: none, as on a machine without a desktop. */
export function browserCommand(env: CliIo["env"], platform: NodeJS.Platform): readonly string[] | undefined {
  if (env.BROWSER === "none") return undefined;
  if (env.BROWSER) return [env.BROWSER];
  if (platform === "darwin") return ["open"];
  if (platform === "win32") return ["rundll32", "url.dll,FileProtocolHandler"];
  return env.DISPLAY || env.WAYLAND_DISPLAY ? ["xdg-open"] : undefined;
}
