// Finds the headers in Node's installation, so that node-gyp need not download them.
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";

/** `--nodedir=…` for node-gyp; empty if there are no headers of this version. */
export function nodeDirArguments() {
  if (process.env.npm_config_nodedir) return [];
  for (const binary of [process.execPath, realpathSync(process.execPath)]) {
    const prefix = dirname(dirname(binary));
    const version = join(prefix, "include", "node", "node_version.h");
    if (!existsSync(version)) continue;
    const text = readFileSync(version, "utf8");
    const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(text)?.[1];
    if ([part("MAJOR"), part("MINOR"), part("PATCH")].join(".") === process.versions.node)
      return [`--nodedir=${prefix}`];
  }
  return [];
}
