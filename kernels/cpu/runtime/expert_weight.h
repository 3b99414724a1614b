// The weight of an expert's gates or probabilities in a routing loss.
#pragma once

#include <cstdint>

#include "remoe.h"

namespace remoe {

// f_e: E n_e / (k T) in equation 10 and in Switch's balance loss, which is 1 for an expert with its
// fair share of the tokens; its square for stronger balancing; in equation 9, 1 for every expert,
// without counts.
[[gnu::always_inline]] inline double expert_weight(int32_t balance, const int32_t* counts,
                                                   int32_t e, int32_t experts, double active,
                                                   double tokens) {
  if (balance == REMOE_BALANCE_NONE) return 0;
  if (balance == REMOE_BALANCE_PLAIN) return 1;
  const double share = experts * static_cast<double>(counts[e]) / (active * tokens);
  return balance == REMOE_BALANCE_LOAD_SQUARED ? share * share : share;
}

}  // namespace remoe
