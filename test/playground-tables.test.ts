import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { samplingSettingNames, samplingSettings } from "../src/compute/sampling/settings.ts";
import { proposerKinds, proposers } from "../src/decoding/proposers/registry.ts";
import { proposeValues, shapeValues, verifyValues } from "../src/engine/request/round-options.ts";
import {
  choiceSettings,
  examples,
  jsonProblem,
  samplingSettings as pageSettings,
} from "../web/conversation/settings.ts";
import { sourceKey, sourceKeys, sourceOf } from "../web/rounds/sources.ts";
import { root } from "./support/doc-examples.ts";

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The playground knows the server by its API only; these are what it has to know of the tables behind it. */
describe("the playground's tables", () => {
  it("name proposers as the registry does; others are shown in grey by their key", () => {
    const listed = proposerKinds.filter((kind) => kind !== "mask" && sourceKeys.includes(sourceKey(kind, 1)));
    expect(listed.length).toBeGreaterThan(4);
    for (const kind of listed) expect(sourceOf(kind).label).toBe(proposers[kind].label);
    expect(sourceOf("unlisted")).toMatchObject({ key: "other", label: "unlisted" });
    const known: readonly string[] = ["drawn", ...proposerKinds.map((kind) => sourceKey(kind, 1))];
    expect(sourceKeys.filter((key) => !known.includes(key.replace(/^mask-.*/, "mask-1")))).toEqual([]);
    const styles = ["base", "chat"].map((name) => readFileSync(join(root, `web/style/${name}.css`), "utf8")).join();
    for (const key of [...sourceKeys, "other"]) {
      expect(styles.split(`  --source-${key}: #`).length - 1, `light and dark colours of ${key}`).toBe(2);
      expect(styles).toContain(`.source-${key} {`);
    }
  });

  it("offer sampling settings within their ranges", () => {
    const offered = samplingSettingNames.flatMap((name) =>
      pageSettings.flatMap(({ key, min, max = 0 }) => (key === snakeCase(name) ? [{ name, min, max }] : [])),
    );
    expect(offered.length).toBeGreaterThan(5);
    for (const { name, min, max } of offered) {
      expect(min).toBeGreaterThanOrEqual(samplingSettings[name].min);
      expect(max).toBeLessThanOrEqual(samplingSettings[name].max);
    }
  });

  it("offer choices that the API has", () => {
    const known: Readonly<Record<string, readonly string[]>> = {
      ...{ propose: proposeValues, shape: shapeValues, verify: verifyValues },
    };
    for (const { key, values } of choiceSettings) {
      expect(values.filter((value) => !known[key]?.includes(value))).toEqual([]);
    }
  });

  it("have examples that the fields accept", () => {
    expect(jsonProblem(examples.schema, "object")).toBeUndefined();
    expect(jsonProblem(examples.tools, "list")).toBeUndefined();
  });
});
