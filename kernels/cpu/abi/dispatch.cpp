// The dispatch plan.
#include <limits>

#include "per_isa/kernels.h"

using namespace remoe;

extern "C" {

int32_t remoe_dispatch_plan(uint64_t context, uint64_t plan, uint64_t gates, int32_t tokens,
                            int32_t experts, int32_t capacity) {
  return guard(context, "dispatch_plan", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require_size(capacity, "capacity");
    require(int64_t{tokens} * experts <= std::numeric_limits<int32_t>::max(),
            REMOE_INVALID_ARGUMENT,
            "%d tokens and %d experts may have more rows than an i32 can number: use fewer tokens",
            tokens, experts);
    REMOE_DISPATCH(open, dispatch_plan, require_address<int32_t>(plan, "plan"),
                   require_address<const float>(gates, "gates"), tokens, experts, capacity);
  });
}
}
