// Sine and cosine in double by fixed polynomials (fdlibm's kernels, Cody-Waite reduction): the same bits everywhere,
// unlike libm. |x| up to about 2^20 radians.
#pragma once
#include <cstdint>

namespace idlm {

inline void sineCosine(double x, double& sine, double& cosine) {
  // Rounds to a multiple of pi/2, by adding 1.5 * 2^52.
  double n = (x * 0.63661977236758134308 + 6755399441055744.0) - 6755399441055744.0;
  // pi/2 in three parts of 33 bits: n * part is exact for n < 2^20.
  double r = ((x - n * 1.57079632673412561417e+00) - n * 6.07710050630396597660e-11) - n * 2.02226624879595063154e-21;
  double z = r * r;
  double s = r + r * z *
                     (-1.66666666666666324348e-01 +
                      z * (8.33333333332248946124e-03 +
                           z * (-1.98412698298579493134e-04 +
                                z * (2.75573137070700676789e-06 +
                                     z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
  double c = 1.0 - 0.5 * z +
             z * z *
                 (4.16666666666666019037e-02 +
                  z * (-1.38888888888741095749e-03 +
                       z * (2.48015872894767294178e-05 +
                            z * (-2.75573143513906633035e-07 +
                                 z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
  switch (int64_t(n) & 3) {
    case 0:
      sine = s, cosine = c;
      break;
    case 1:
      sine = c, cosine = -s;
      break;
    case 2:
      sine = -s, cosine = -c;
      break;
    default:
      sine = -c, cosine = s;
      break;
  }
}

}  // namespace idlm
