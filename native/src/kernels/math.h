// exp, log and functions of them, as fixed polynomials: libm chooses its code by CPU, these do not.
#pragma once
#include "kernels/vec.h"

namespace idlm {
namespace IDLM_ISA {

// e^x, relative error below 1.2e-7. Below -87.33 the result is 0 (no subnormals), above 88.7 infinity.
// Cody-Waite reduction x = n ln2 + r, |r| <= ln2/2, then the Cephes polynomial for e^r.
IDLM_INLINE F vexp(F x) {
  F low = fset(-87.33f), high = fset(88.7f);
  F clamped = fmin(fmax(x, low), high);
  F n = roundFloat(clamped * fset(1.44269504088896341f));
  F r = fma(n, fset(-0.693359375f), clamped);
  r = fma(n, fset(2.12194440e-4f), r);
  F p = fset(1.9875691500e-4f);
  p = fma(p, r, fset(1.3981999507e-3f));
  p = fma(p, r, fset(8.3334519073e-3f));
  p = fma(p, r, fset(4.1665795894e-2f));
  p = fma(p, r, fset(1.6666665459e-1f));
  p = fma(p, r, fset(5.0000001201e-1f));
  p = fma(p, r * r, r) + fset(1.0f);
  // n is within [-126, 128]; 2^n in two factors so that n = 128 does not overflow the exponent field.
  I half = sar<1>(roundInt(n));
  I rest = roundInt(n) - half;
  F result = p * asFloat(shl<23>(half + iset(127))) * asFloat(shl<23>(rest + iset(127)));
  result = select(x < low, fset(0.0f), result);
  result = select(x > high, fset(__builtin_inff()), result);
  return select(x == x, result, x);  // NaN stays NaN
}

// ln x for normal x > 0, relative error below 2e-7 (absolute near 1). x = m 2^e, m in [sqrt(1/2), sqrt 2).
// `f` is m - 1; Cephes logf.
IDLM_INLINE F logOf(F f, F e) {
  F z = f * f;
  F p = fset(7.0376836292e-2f);
  p = fma(p, f, fset(-1.1514610310e-1f));
  p = fma(p, f, fset(1.1676998740e-1f));
  p = fma(p, f, fset(-1.2420140846e-1f));
  p = fma(p, f, fset(1.4249322787e-1f));
  p = fma(p, f, fset(-1.6668057665e-1f));
  p = fma(p, f, fset(2.0000714765e-1f));
  p = fma(p, f, fset(-2.4999993993e-1f));
  p = fma(p, f, fset(3.3333331174e-1f));
  F y = p * f * z;
  y = fma(e, fset(-2.12194440e-4f), y);
  y = fma(fset(-0.5f), z, y);
  return fma(e, fset(0.693359375f), f + y);
}

IDLM_INLINE F vlog(F x) {
  I u = asInt(x) - iset(0x3f3504f3);  // bits of sqrt(1/2)
  F e = toFloat(sar<23>(u));
  F m = asFloat((u & iset(0x007fffff)) + iset(0x3f3504f3));
  return logOf(m - fset(1.0f), e);
}

// x / (1 + e^-x)
IDLM_INLINE F vsilu(F x) { return x / (fset(1.0f) + vexp(fset(0.0f) - x)); }

}  // namespace IDLM_ISA
}  // namespace idlm
