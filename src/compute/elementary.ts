/**
 * exp, ln and power in double, from + − × ÷ alone: `Math`'s results differ between engines and CPUs, and reach logits
 * through the rotary embedding's frequencies. Sine and cosine are here and in native/src/executor/trig.h: the same
 * polynomials.
 */

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
/** 1.5 · 2^52: adding and subtracting it rounds to the nearest integer. */
const ROUND = 6755399441055744;

/** 2^n for integers −1022 … 1023, exactly. */
function powerOfTwo(n: number): number {
  let result = 1;
  for (let bit = 1, base = n < 0 ? 0.5 : 2, left = Math.abs(n); bit <= left; bit *= 2, base *= base) {
    if ((left & bit) !== 0) result *= base;
  }
  return result;
}

/** e^x for |x| < 700; relative error below 1e-15. Reduction to |r| ≤ ln2/2, then the Taylor series to r^13. */
export function exp(x: number): number {
  const n = x * Math.LOG2E + ROUND - ROUND;
  const r = x - n * LN2_HIGH - n * LN2_LOW;
  let sum = 1;
  for (let k = 13; k > 0; k--) sum = 1 + (r / k) * sum;
  return sum * powerOfTwo(n);
}

/** Natural logarithm of a normal x > 0; relative error below 1e-15. x = m · 2^e, ln m = 2 artanh((m − 1) / (m + 1)). */
export function ln(x: number): number {
  if (!(x > 0) || x === Number.POSITIVE_INFINITY) return x === 0 ? Number.NEGATIVE_INFINITY : x > 0 ? x : Number.NaN;
  let m = x;
  let e = 0;
  for (; m >= Math.SQRT2; e++) m /= 2;
  for (; m < Math.SQRT1_2; e--) m *= 2;
  const s = (m - 1) / (m + 1);
  const z = s * s;
  let sum = 0;
  for (let k = 27; k >= 3; k -= 2) sum = (sum + 1 / k) * z;
  return e * LN2_HIGH + (2 * s + (2 * s * sum + e * LN2_LOW));
}

/** base^exponent for base > 0. */
export function power(base: number, exponent: number): number {
  return exp(exponent * ln(base));
}

/** [sin x, cos x] for |x| up to about 2^20; as in native/src/executor/trig.h (fdlibm's kernels, Cody–Waite reduction). */
export function sineCosine(x: number): [number, number] {
  const n = x * 0.6366197723675814 + ROUND - ROUND;
  const r = x - n * 1.5707963267341256 - n * 6.077100506303966e-11 - n * 2.0222662487959506e-21;
  const z = r * r;
  const s =
    r +
    r *
      z *
      (-0.16666666666666632 +
        z *
          (0.00833333333332249 +
            z *
              (-0.0001984126982985795 +
                z * (2.7557313707070068e-6 + z * (-2.5050760253406863e-8 + z * 1.58969099521155e-10)))));
  const c =
    1 -
    0.5 * z +
    z *
      z *
      (0.0416666666666666 +
        z *
          (-0.001388888888887411 +
            z *
              (2.480158728947673e-5 +
                z * (-2.7557314351390663e-7 + z * (2.087572321298175e-9 + z * -1.1359647557788195e-11)))));
  switch (((n % 4) + 4) % 4) {
    case 0:
      return [s, c];
    case 1:
      return [c, -s];
    case 2:
      return [-s, -c];
    default:
      return [-c, s];
  }
}
