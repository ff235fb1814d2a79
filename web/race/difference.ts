/** Two texts, cut where they begin to differ. */
export interface Difference {
  readonly common: string;
  readonly left: string;
  readonly right: string;
}

/** Where two texts part. Characters are not cut in half. */
export function differenceOf(left: string, right: string): Difference {
  let at = 0;
  const [a, b] = [[...left], [...right]];
  while (at < Math.min(a.length, b.length) && a[at] === b[at]) at++;
  return { common: a.slice(0, at).join(""), left: a.slice(at).join(""), right: b.slice(at).join("") };
}
