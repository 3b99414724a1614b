#include "gemm/has_tensor_cores.h"
#include "moe/expert_paths.h"
#include "moe/experts_tensor_cores.h"
#include "runtime/dtype.h"

int32_t remoe_experts_gradient(uint64_t context, int32_t dtype, uint64_t dx, uint64_t dw1,
                               uint64_t dw2, uint64_t dgates, uint64_t dy, uint64_t h, uint64_t x,
                               uint64_t w1, uint64_t w2, uint64_t gates, uint64_t plan,
                               int32_t kept_rows, int32_t tokens, int32_t hidden, int32_t width,
                               int32_t experts, int32_t accumulate) {
  using namespace remoe;
  return guard(context, "experts_gradient", [&](Operation& op) {
    require_float(dtype);
    const ExpertSizes sizes = require_expert_sizes(op, tokens, hidden, width, experts, plan);
    const int32_t kept = require_kept(kept_rows);
    with_activations(dtype, [&]<class T>(T) {
      const ExpertsGradient<T> call = {
          .dx = optional_address<T>(dx, "dx"),
          .dw1 = optional_address<float>(dw1, "dw1"),
          .dw2 = optional_address<float>(dw2, "dw2"),
          .dgates = optional_address<float>(dgates, "dgates"),
          .dy = require_address<const T>(dy, "dy"),
          .h = kept == 0 ? nullptr : require_address<const T>(h, "h"),
          .x = require_address<const T>(x, "x"),
          .w1 = require_address<const T>(w1, "w1"),
          .w2 = require_address<const T>(w2, "w2"),
          .gates = require_address<const float>(gates, "gates"),
          .plan = {reinterpret_cast<const int32_t*>(plan), tokens, experts, sizes.most_rows},
          .kept_rows = kept,
          .accumulate = accumulate,
          .sizes = sizes,
      };
      if constexpr (std::is_same_v<T, Bf16>) {
        if (fits_tensor_cores(call) && has_tensor_cores(op)) {
          return experts_gradient_tensor_cores(op, call);
        }
      }
      experts_gradient_simt(op, call);
    });
  });
}
