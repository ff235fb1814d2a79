/** The nearest whole number within limits. */
export function roundedWithin(value: number, min: number, max: number): number {
  return Math.round(Math.min(max, Math.max(min, value)));
}
