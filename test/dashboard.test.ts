import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "./support/doc-examples.ts";
import { startTestServer } from "./support/test-server.ts";

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number };
    readonly targets: readonly { readonly expr: string }[];
  }[];
}

const dashboard = JSON.parse(readFileSync(join(root, "docs", "grafana-dashboard.json"), "utf8")) as Dashboard;
const guide = readFileSync(join(root, "docs", "server.md"), "utf8");

/** Types of the metrics by name. */
async function metricsOfServer(): Promise<Map<string, string>> {
  const server = await startTestServer();
  const text = await (await server.get("/metrics")).text();
  await server.stop();
  return new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type = ""]) => [name, type]));
}

describe("docs/grafana-dashboard.json", () => {
  it("shows metrics of the server, and all of idlm's are in it or in docs/server.md", async () => {
    const types = await metricsOfServer();
    const used = new Set<string>();
    for (const { title, targets } of dashboard.panels) {
      for (const { expr } of targets) {
        const names = [...expr.matchAll(/idlm:\w+|process_\w+/g)].map(([name]) => name);
        expect(names.length, title).toBeGreaterThan(0);
        for (const name of names) {
          const base = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, "");
          expect(types.get(base), `${title}: ${name}`).toBe(base === name ? types.get(name) : "histogram");
          expect(types.has(base), `${title}: ${name}`).toBe(true);
          // A counter is shown as a rate.
          if (types.get(base) === "counter") expect(expr, title).toContain(`rate(${name}`);
          used.add(base);
        }
      }
    }
    expect(used.size).toBeGreaterThan(15);
    for (const name of types.keys()) {
      if (name.startsWith("idlm:")) expect(guide, name).toContain(`\`${name.slice("idlm:".length)}\``);
    }
    for (const [, name = ""] of guide.slice(guide.indexOf("| metric |")).matchAll(/`(\w+(?:_\w+)+)`(?=.*\|)/g)) {
      if (name !== "finished_reason") expect([...types.keys()], name).toContain(`idlm:${name}`);
    }
  });

  it("has no two panels in one place", () => {
    const places = dashboard.panels.map(({ gridPos: { x, y } }) => `${x} ${y}`);
    expect(new Set(places).size).toBe(places.length);
  });
});
