// Where 1/sqrt(head_dim) is applied: to queries as they come into fp32 tiles, or to the scores of
// pairs of bf16, which would round the scaled queries.
#pragma once

#include "per_isa/attention/operand_tiles.h"

namespace remoe::REMOE_TARGET {

template <class E>
struct ScoreScale {
  float scale;
  explicit ScoreScale(float of_scores) : scale(of_scores) {}

  // A score as products give it, scaled.
  template <class F>
  REMOE_INLINE F operator()(F score) const {
    return score * scale;
  }
  // The factors of a block of queries, and of what is summed over scaled queries.
  Unscaled of_queries() const { return {}; }
  float of_sums() const { return scale; }
};

template <>
struct ScoreScale<float> {
  float scale;
  explicit ScoreScale(float of_queries) : scale(of_queries) {}

  template <class F>
  REMOE_INLINE F operator()(F score) const {
    return score;
  }
  auto of_queries() const {
    return [factor = scale](int64_t) { return factor; };
  }
  float of_sums() const { return 1.0f; }
};

}  // namespace remoe::REMOE_TARGET
