#define IDLM_ISA avx2
#include "kernels/isa.h"
