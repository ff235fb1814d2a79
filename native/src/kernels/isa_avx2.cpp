#define IDLM_ISA avx2
#include "isa.h"
