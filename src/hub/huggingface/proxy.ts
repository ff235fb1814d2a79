/** Ports that a NO_PROXY entry with a port is compared with where the address names none. */
const defaultPorts: Readonly<Record<string, string>> = { "http:": "80", "https:": "443" };

/**
 * The proxy that the environment names for an address (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, in either case, as
 * curl and pip read them); undefined: none. Node's own fetch looks at none of these before Node.js 24.
 */
export function proxyFor(url: URL, environment: NodeJS.ProcessEnv): string | undefined {
  const read = (name: string) => environment[name.toLowerCase()] || environment[name.toUpperCase()] || undefined;
  const proxy = read(`${url.protocol.slice(0, -1)}_proxy`) ?? read("all_proxy");
  if (proxy === undefined || isExempt(url, read("no_proxy") ?? "")) return undefined;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

function isExempt(url: URL, exemptions: string): boolean {
  const port = url.port || defaultPorts[url.protocol];
  return exemptions
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .some((entry) => {
      if (entry === "*") return true;
      const [, host = "", entryPort] = /^\*?\.?(.*?)(?::(\d+))?$/.exec(entry) ?? [];
      if (entryPort !== undefined && entryPort !== port) return false;
      return url.hostname === host || url.hostname.endsWith(`.${host}`);
    });
}
