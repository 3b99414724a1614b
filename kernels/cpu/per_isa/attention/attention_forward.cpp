// Causal grouped-query attention in fp32, and the entry point for all types.
#include "per_isa/attention/attention_forward.h"

#include "per_isa/attention/attention_kernels.h"
#include "runtime/dtype.h"

namespace remoe::REMOE_TARGET {

void attention_forward(Context& context, const ForwardCall<float>& call) {
  attend_all(context, call);
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
using namespace remoe;

int32_t remoe_attention_forward(uint64_t context, int32_t dtype, uint64_t out, uint64_t normalizer,
                                uint64_t q, uint64_t k, uint64_t v, int32_t batch, int32_t sequence,
                                int32_t heads, int32_t groups, int32_t head_dim, int32_t stride) {
  return guard(context, "attention_forward", [&](Context& open) {
    require_attention(batch, sequence, heads, groups, head_dim, stride);
    require_float(dtype);
    const auto call = [&]<class T>() {
      return ForwardCall<T>{
          require_address<T>(out, "out"),   optional_address<float>(normalizer, "normalizer"),
          require_address<const T>(q, "q"), require_address<const T>(k, "k"),
          require_address<const T>(v, "v"), {batch, sequence, heads, groups, head_dim, stride}};
    };
    if (dtype == REMOE_BF16) {
      REMOE_DISPATCH_BF16(open, attention_forward_bf16, call.operator()<Bf16>());
    } else {
      REMOE_DISPATCH(open, attention_forward, call.operator()<float>());
    }
  });
}
#endif  // REMOE_ENTRY_POINTS
