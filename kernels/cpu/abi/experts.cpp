// The experts of a mixture, and SwiGLU alone.
#include "kernels.h"

using namespace remoe;

namespace {

// The plan, found to be one for these sizes: another's offsets would lead anywhere in memory.
const int32_t* require_plan(uint64_t address, int32_t tokens, int32_t experts) {
  const int32_t* plan = require_address<const int32_t>(address, "plan");
  const int32_t rows = plan[REMOE_PLAN_ROWS], overflow = plan[REMOE_PLAN_OVERFLOW];
  const int32_t* expert_offset = plan + remoe_plan_expert_offset();
  const int32_t* token_offset = plan + remoe_plan_token_offset(experts);
  if (overflow == 1) return plan;
  require(overflow == 0 && rows >= 0 && rows <= plan[REMOE_PLAN_CAPACITY] &&
              expert_offset[0] == 0 && expert_offset[experts] == rows && token_offset[0] == 0 &&
              token_offset[tokens] == rows,
          REMOE_INVALID_ARGUMENT,
          "the plan is not one of dispatch_plan for %d tokens and %d experts", tokens, experts);
  return plan;
}

// The pre-activations: needed as soon as one row of them is kept.
template <class T>
T* require_kept(uint64_t h, int32_t kept_rows) {
  require(kept_rows >= 0, REMOE_INVALID_ARGUMENT, "kept_rows is %d, but at least 0 is needed",
          kept_rows);
  return kept_rows == 0 ? nullptr : require_address<T>(h, "h");
}

}  // namespace

extern "C" {

int32_t remoe_experts_forward(uint64_t context, uint64_t y, uint64_t h, uint64_t x, uint64_t w1,
                              uint64_t w2, uint64_t gates, uint64_t plan, int32_t kept_rows,
                              int32_t tokens, int32_t hidden, int32_t width, int32_t experts) {
  return guard(context, "experts_forward", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(width, "width");
    require_size(experts, "experts");
    REMOE_DISPATCH(open, experts_forward, require_address<float>(y, "y"),
                   require_kept<float>(h, kept_rows), require_address<const float>(x, "x"),
                   require_address<const float>(w1, "w1"), require_address<const float>(w2, "w2"),
                   require_address<const float>(gates, "gates"),
                   require_plan(plan, tokens, experts), kept_rows, tokens, hidden, width, experts);
  });
}

int32_t remoe_experts_gradient(uint64_t context, uint64_t dx, uint64_t dw1, uint64_t dw2,
                               uint64_t dgates, uint64_t dy, uint64_t h, uint64_t x, uint64_t w1,
                               uint64_t w2, uint64_t gates, uint64_t plan, int32_t kept_rows,
                               int32_t tokens, int32_t hidden, int32_t width, int32_t experts,
                               int32_t accumulate) {
  return guard(context, "experts_gradient", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(width, "width");
    require_size(experts, "experts");
    REMOE_DISPATCH(
        open, experts_gradient, optional_address<float>(dx, "dx"),
        optional_address<float>(dw1, "dw1"), optional_address<float>(dw2, "dw2"),
        optional_address<float>(dgates, "dgates"), require_address<const float>(dy, "dy"),
        require_kept<const float>(h, kept_rows), require_address<const float>(x, "x"),
        require_address<const float>(w1, "w1"), require_address<const float>(w2, "w2"),
        require_address<const float>(gates, "gates"), require_plan(plan, tokens, experts),
        kept_rows, tokens, hidden, width, experts, accumulate);
  });
}

int32_t remoe_swiglu_forward(uint64_t context, uint64_t a, uint64_t h, int32_t rows,
                             int32_t width) {
  return guard(context, "swiglu_forward", [&](Context& open) {
    require_size(rows, "rows");
    require_size(width, "width");
    REMOE_DISPATCH(open, swiglu_forward, require_address<float>(a, "a"),
                   require_address<const float>(h, "h"), rows, width);
  });
}

int32_t remoe_swiglu_gradient(uint64_t context, uint64_t dh, uint64_t da, uint64_t h, int32_t rows,
                              int32_t width, int32_t accumulate) {
  return guard(context, "swiglu_gradient", [&](Context& open) {
    require_size(rows, "rows");
    require_size(width, "width");
    REMOE_DISPATCH(open, swiglu_gradient, require_address<float>(dh, "dh"),
                   require_address<const float>(da, "da"), require_address<const float>(h, "h"),
                   rows, width, accumulate != 0);
  });
}
}
