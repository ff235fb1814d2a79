#define IDLM_ISA scalar
#include "kernels/isa.h"
