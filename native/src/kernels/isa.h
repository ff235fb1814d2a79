// The body of each instruction set's translation unit.
#include "kernels/attention.h"
#include "kernels/full_gradients.h"
#include "kernels/gradients.h"
#include "kernels/linear.h"
#include "kernels/rows.h"
#include "kernels/sampling.h"
#include "kernels/table.h"

#define IDLM_TEXT2(x) #x
#define IDLM_TEXT(x) IDLM_TEXT2(x)

namespace idlm {
namespace IDLM_ISA {

extern const KernelTable table;
const KernelTable table = {IDLM_TEXT(IDLM_ISA),
                           linear,
                           quantise,
                           quantiseGroups,
                           rmsnorm,
                           add,
                           swiglu,
                           silu,
                           rope,
                           storeKv,
                           attention,
                           argmax,
                           blockMaxima,
                           exponentials,
                           logarithm,
                           divide,
                           addGumbel,
                           noisyBest,
                           noisyFrom,
                           indicesFrom,
                           readAll,
                           multiplyAll,
                           outer,
                           rmsnormGradient,
                           swigluGradient,
                           siluGradient,
                           attentionGradient,
                           ancestorGradient,
                           crossEntropy,
                           rankOf,
                           rowLoss,
                           adamW,
                           mathTest};

}  // namespace IDLM_ISA
}  // namespace idlm
