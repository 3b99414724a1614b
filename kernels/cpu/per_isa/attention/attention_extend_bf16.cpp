// Attention of new tokens against a cache in bf16.
#include "per_isa/attention/attention_extend.h"
#include "per_isa/attention/attention_kernels.h"

namespace remoe::REMOE_TARGET {

void attention_extend_bf16(Context& context, const ExtendCall<Bf16>& call) {
  extend_all(context, call);
}

}  // namespace remoe::REMOE_TARGET
