// Causal grouped-query attention in bf16.
#include "per_isa/attention/attention_forward.h"
#include "per_isa/attention/attention_kernels.h"

namespace remoe::REMOE_TARGET {

void attention_forward_bf16(Context& context, const ForwardCall<Bf16>& call) {
  attend_all(context, call);
}

}  // namespace remoe::REMOE_TARGET
