#define IDLM_ISA scalar
#include "isa.h"
