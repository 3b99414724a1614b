// Argument checks shared by the experts' forward and gradient passes.
#pragma once

#include "runtime/context.h"

namespace remoe {

// The plan, checked to be one for these sizes: offsets from another plan could lead anywhere in
// memory.
inline const int32_t* require_plan(uint64_t address, int32_t tokens, int32_t experts) {
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

// The rows of pre-activations that are kept.
inline int32_t require_kept(int32_t kept_rows) {
  require(kept_rows >= 0, REMOE_INVALID_ARGUMENT, "kept_rows is %d, but at least 0 is needed",
          kept_rows);
  return kept_rows;
}

}  // namespace remoe
