/** Default ports of URLs, compared with the port of a NO_PROXY entry. */
const defaultPorts: Readonly<Record<string, string>> = { "http:": "80", "https:": "443" };

/**
 * The proxy for a URL according to HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in upper or lower case, as in curl and
 * pip; undefined: none. Node's own fetch ignores these variables before Node.js 24.
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
