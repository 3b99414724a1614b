// Reads a dispatch plan, the i32 buffer described in remoe.h under "Dispatch".
#pragma once

#include <cstdint>

#include "remoe.h"

namespace remoe::REMOE_TARGET {

class Plan {
 public:
  Plan(const int32_t* words, int tokens, int experts)
      : words_(words),
        expert_offset_(words + remoe_plan_expert_offset()),
        token_offset_(words + remoe_plan_token_offset(experts)),
        row_token_(words + remoe_plan_row_token(tokens, experts)),
        token_row_(words + remoe_plan_token_row(tokens, experts, words[REMOE_PLAN_CAPACITY])) {}

  // Rows of the plan; 0 if it overflowed, since then only the header is valid.
  int rows() const { return words_[REMOE_PLAN_OVERFLOW] != 0 ? 0 : words_[REMOE_PLAN_ROWS]; }
  // First row of expert e, for e in [0, E].
  int expert_offset(int e) const { return expert_offset_[e]; }
  int expert_rows(int e) const { return expert_offset_[e + 1] - expert_offset_[e]; }
  // First slot of token t, for t in [0, T].
  int token_offset(int64_t t) const { return token_offset_[t]; }
  // Token of each row, and rows of each token by ascending expert.
  const int32_t* row_token() const { return row_token_; }
  const int32_t* token_row() const { return token_row_; }

 private:
  const int32_t* words_;
  const int32_t* expert_offset_;
  const int32_t* token_offset_;
  const int32_t* row_token_;
  const int32_t* token_row_;
};

}  // namespace remoe::REMOE_TARGET
