// What every router that multiplies its input by weights takes and checks.
#pragma once

#include "runtime/dtype.h"
#include "runtime/operation.h"

namespace remoe {

// Tokens of a block of the product, and of a partial sum per expert.
constexpr int kTileTokens = 64;

struct RouterInput {
  int32_t dtype;  // of x
  uint64_t x;     // [T, D]
  uint64_t w;     // fp32 [D, E]
  int tokens;
  int hidden;
  int experts;
};

// Throws if a size, an address or the dtype of the input is invalid.
inline void require_router_input(const RouterInput& input) {
  require_size(input.tokens, "tokens");
  require_size(input.hidden, "hidden");
  require_size(input.experts, "experts");
  require_float(input.dtype);
  require_elements(input.x, input.dtype, "x");
  require_address<const float>(input.w, "w");
}

// Throws unless a token can have `active` of the experts.
inline void require_active(int32_t active, int32_t experts) {
  require(active >= 1 && active <= experts, "active is %d, but a token has 1 to %d of %d experts",
          active, experts, experts);
}

}  // namespace remoe
