// The weight of an expert's gates or probabilities in a routing loss.
#pragma once

#include "../../include/remoe.h"
#include "device/gpu.h"

namespace remoe {

// f_e: E n_e / (k T) in equation 10 and in Switch's balance loss, which is 1 for an expert with its
// fair share of the tokens; its square for stronger balancing; in equation 9, 1 for every expert,
// without counts.
__device__ __forceinline__ double expert_weight(int balance, const int32_t* counts, int expert,
                                                int experts, double active, double tokens) {
  if (balance == REMOE_BALANCE_NONE) return 0.0;
  if (balance == REMOE_BALANCE_PLAIN) return 1.0;
  const double share = experts * static_cast<double>(counts[expert]) / (active * tokens);
  return balance == REMOE_BALANCE_LOAD_SQUARED ? share * share : share;
}

}  // namespace remoe
