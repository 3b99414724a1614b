// The logits of the routers that need a whole row of them at once.
#pragma once

#include "runtime/operation.h"

namespace remoe {

struct RouterInput {
  int32_t dtype;  // of x
  uint64_t x;     // [T, D]
  uint64_t w;     // fp32 [D, E]
  int tokens;
  int hidden;
  int experts;
};

// Throws if a size, an address or the dtype of the input is invalid.
void require_router_input(const RouterInput& input);

// Throws unless a token can have `active` of the experts.
inline void require_active(int32_t active, int32_t experts) {
  require(active >= 1 && active <= experts, "active is %d, but a token has 1 to %d of %d experts",
          active, experts, experts);
}

// Enqueues logits = x W. They go through memory: beside the D columns of x, E columns cost little.
void router_logits(Operation& op, float* logits, const RouterInput& input);

}  // namespace remoe
