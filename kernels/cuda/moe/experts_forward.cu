#include <algorithm>

#include "gemm/has_tensor_cores.h"
#include "moe/expert_paths.h"
#include "moe/experts_tensor_cores.h"
#include "runtime/dtype.h"

namespace remoe {

// A plan has a row for each pair of a token and an expert at most, and no more than its buffer
// holds. The buffer's size is known if it is a block of the pool.
ExpertSizes require_expert_sizes(Operation& op, int32_t tokens, int32_t hidden, int32_t width,
                                 int32_t experts, uint64_t plan) {
  require_size(tokens, "tokens");
  require_size(hidden, "hidden");
  require_size(width, "width");
  require_size(experts, "experts");
  require(static_cast<int64_t>(tokens) * experts <= INT32_MAX,
          "%d tokens times %d experts exceed 2^31 rows: split the tokens", tokens, experts);
  require(width <= INT32_MAX / 2, "width is %d, but at most 2^30 is supported", width);
  const int32_t* words = require_address<const int32_t>(plan, "plan");
  int64_t rows = static_cast<int64_t>(tokens) * experts;
  const size_t bytes = op.context.pool.requested(words);
  if (bytes != 0) {
    const int64_t listed =
        static_cast<int64_t>(bytes / sizeof(int32_t)) - remoe_plan_row_token(tokens, experts);
    // Each row takes a word in row_token and one in token_row.
    rows = std::clamp<int64_t>(listed / 2, 1, rows);
  }
  return {tokens, hidden, width, experts, static_cast<int>(rows)};
}

int32_t require_kept(int32_t kept_rows) {
  require(kept_rows >= 0, "kept_rows is %d, but at least 0 is needed", kept_rows);
  return kept_rows;
}

}  // namespace remoe

int32_t remoe_experts_forward(uint64_t context, int32_t dtype, uint64_t y, uint64_t h, uint64_t x,
                              uint64_t w1, uint64_t w2, uint64_t gates, uint64_t plan,
                              int32_t kept_rows, int32_t tokens, int32_t hidden, int32_t width,
                              int32_t experts) {
  using namespace remoe;
  return guard(context, "experts_forward", [&](Operation& op) {
    require_float(dtype);
    const ExpertSizes sizes = require_expert_sizes(op, tokens, hidden, width, experts, plan);
    const int32_t kept = require_kept(kept_rows);
    with_activations(dtype, [&]<class T>(T) {
      const ExpertsForward<T> call = {
          .y = require_address<T>(y, "y"),
          .h = kept == 0 ? nullptr : require_address<T>(h, "h"),
          .x = require_address<const T>(x, "x"),
          .w1 = require_address<const T>(w1, "w1"),
          .w2 = require_address<const T>(w2, "w2"),
          .gates = require_address<const float>(gates, "gates"),
          .plan = {reinterpret_cast<const int32_t*>(plan), tokens, experts, sizes.most_rows},
          .kept_rows = kept,
          .sizes = sizes,
      };
      if (fits_few_rows(call)) return experts_forward_few_rows(op, call);
      if constexpr (std::is_same_v<T, Bf16>) {
        if (fits_tensor_cores(call) && has_tensor_cores(op)) {
          return experts_forward_tensor_cores(op, call);
        }
      }
      experts_forward_simt(op, call);
    });
  });
}
