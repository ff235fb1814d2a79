// gcc 12 warns about its own header (_mm512_undefined_ps, bug 105593) wherever an intrinsic is inlined.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#define IDLM_ISA avx512vnni
#include "kernels/isa.h"
