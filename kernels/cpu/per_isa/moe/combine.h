// Combines the experts' rows into their tokens.
#pragma once

#include <cstdint>

#include "per_isa/moe/dispatch_plan.h"
#include "runtime/context.h"

namespace remoe::REMOE_TARGET {

// target [T,D]: target_t (+)= sum of rows[r] over the rows r of token t, experts ascending; 0 for a
// token without an expert. rows is [N,D].
void combine(Context& context, float* target, const float* rows, const Plan& plan, int tokens,
             int hidden, bool accumulate);

}  // namespace remoe::REMOE_TARGET
