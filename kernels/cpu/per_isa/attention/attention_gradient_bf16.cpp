// Gradient of attention in bf16.
#include "per_isa/attention/attention_gradient.h"
#include "per_isa/attention/attention_kernels.h"

namespace remoe::REMOE_TARGET {

void attention_gradient_bf16(Context& context, const GradientCall<Bf16>& call) {
  differentiate_all(context, call);
}

}  // namespace remoe::REMOE_TARGET
