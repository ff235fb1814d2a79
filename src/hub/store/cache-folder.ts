import { homedir } from "node:os";
import { join } from "node:path";

/** The folder for downloaded models: `IDLM_HOME`, else the platform's cache folder. */
export function cacheFolder(
  environment: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): string {
  const configured = environment.IDLM_HOME;
  if (configured) return configured;
  if (platform === "darwin") return join(homedir(), "Library", "Caches", "idlm");
  if (platform === "win32") return join(environment.LOCALAPPDATA || join(homedir(), "AppData", "Local"), "idlm");
  return join(environment.XDG_CACHE_HOME || join(homedir(), ".cache"), "idlm");
}
