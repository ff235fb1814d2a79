/** Levels of JSON values in requests. Schemas and arguments of published tools nest less than 20 deep. */
export const MAX_DEPTH = 64;

/** Whether arrays and objects nest deeper than `most` levels. Without recursion, which deep values would overflow. */
export function isDeeperThan(value: unknown, max: number): boolean {
  let level: readonly unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > max) return true;
    level = level.flatMap((one) =>
      typeof one === "object" && one !== null
        ? Object.values(one).filter((inner) => typeof inner === "object" && inner !== null)
        : [],
    );
  }
  return false;
}
