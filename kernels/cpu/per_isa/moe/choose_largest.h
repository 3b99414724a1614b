// The choice of a token's k largest values, shared by the routers with a fixed k.
#pragma once

#include "per_isa/simd/vector_math.h"

namespace remoe::REMOE_TARGET {

// chosen = 1 for the k largest, ties to the lower expert; 0 elsewhere. One pass over the experts
// for each of the k: E k comparisons, less than the E D multiply-adds that made the logits.
REMOE_INLINE void choose_largest(float* chosen, const float* values, int experts, int active) {
  for (int e = 0; e < experts; ++e) chosen[e] = 0.0f;
  for (int i = 0; i < active; ++i) {
    int best = -1;
    for (int e = 0; e < experts; ++e) {
      if (chosen[e] == 0.0f && (best < 0 || values[e] > values[best])) best = e;
    }
    chosen[best] = 1.0f;
  }
}

}  // namespace remoe::REMOE_TARGET
