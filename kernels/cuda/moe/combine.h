// Combines the experts' rows into their tokens.
#pragma once

#include "moe/expert_arguments.h"
#include "runtime/operation.h"

namespace remoe {

// target [T,D]: target_t (+)= sum of rows[r] over the rows r of token t, experts ascending; 0 for a
// token without an expert, and for all if the plan overflowed. rows is [most_rows, D] of fp32; the
// target is rounded once.
template <class T>
void combine(Operation& op, T* target, const float* rows, const PlanView& plan, int hidden,
             bool accumulate);

}  // namespace remoe
