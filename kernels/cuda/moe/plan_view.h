// A dispatch plan on the device, the i32 buffer described in remoe.h under "Dispatch".
#pragma once

#include "../../include/remoe.h"
#include "device/gpu.h"

namespace remoe {

struct PlanView {
  const int32_t* words;
  int tokens;
  int experts;
  int most_rows;  // rows that the caller has room for

  // Whether the plan is one for these sizes: offsets from another could lead anywhere in memory.
  __device__ __forceinline__ bool fits() const {
    const int32_t rows = words[REMOE_PLAN_ROWS];
    const int32_t overflow = words[REMOE_PLAN_OVERFLOW];
    if (overflow == 1) return true;
    return overflow == 0 && rows >= 0 && rows <= words[REMOE_PLAN_CAPACITY] && rows <= most_rows &&
           words[remoe_plan_expert_offset()] == 0 && expert_offset()[experts] == rows &&
           token_offset()[0] == 0 && token_offset()[tokens] == rows;
  }

  // Rows of the plan; 0 if it overflowed, since then only the header is valid, or does not fit.
  __device__ __forceinline__ int rows() const {
    return words[REMOE_PLAN_OVERFLOW] == 0 && fits() ? words[REMOE_PLAN_ROWS] : 0;
  }

  // First row of each expert, [E+1].
  __device__ __forceinline__ const int32_t* expert_offset() const {
    return words + remoe_plan_expert_offset();
  }
  // First slot of each token, [T+1].
  __device__ __forceinline__ const int32_t* token_offset() const {
    return words + remoe_plan_token_offset(experts);
  }
  // Token of each row.
  __device__ __forceinline__ const int32_t* row_token() const {
    return words + remoe_plan_row_token(tokens, experts);
  }
  // Rows of each token, experts ascending.
  __device__ __forceinline__ const int32_t* token_row() const {
    return words + remoe_plan_token_row(tokens, experts, words[REMOE_PLAN_CAPACITY]);
  }
};

}  // namespace remoe
