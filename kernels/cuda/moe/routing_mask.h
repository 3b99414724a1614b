// The routers' mask: one bit per pair of token and expert, as remoe.h describes it under "Routers".
#pragma once

#include "runtime/operation.h"

namespace remoe {

// Words per token.
__host__ __device__ __forceinline__ int mask_words(int experts) { return (experts - 1) / 32 + 1; }

// Enqueues the mask and counts of a routing given by values [T, E], not 0 where it is routed.
void routing_mask(Operation& op, uint32_t* mask, int32_t* counts, const float* values, int tokens,
                  int experts);

}  // namespace remoe
