import fc from "fast-check";
import { mapSettings, type SamplingSetting, type SamplingSettingName } from "../../src/compute/sampling/settings.ts";

/** Ranges in which float32 scores differ little from those in double. */
const ranges: Partial<Record<SamplingSettingName, readonly [min: number, max: number]>> = {
  repetitionPenalty: [0.5, 2],
  frequencyPenalty: [-1, 1],
  temperature: [0.05, 3],
};

/** Values that float32 represents exactly, since the addon stores settings as float32. */
export const anyFloat = (min: number, max: number): fc.Arbitrary<number> =>
  fc.float({ min: Math.fround(min), max: Math.fround(max), noNaN: true, noDefaultInfinity: true });

const anyValue = (name: SamplingSettingName, { min, max, isCount }: SamplingSetting): fc.Arbitrary<number> => {
  if (isCount) return fc.integer({ min: 1, max: 400 });
  const [from, to] = ranges[name] ?? [Math.max(min, -2), Math.min(max, 2)];
  return anyFloat(from, to);
};

/** Every numeric setting of the table, off in a third of the cases: a new one takes part without being named. */
export const anySamplingNumbers = fc.record(
  mapSettings((name, setting) =>
    fc.oneof({ weight: 1, arbitrary: fc.constant(setting.neutral) }, { weight: 2, arbitrary: anyValue(name, setting) }),
  ),
);
