// Counts and sums per expert over the tokens, in an order that depends on their number alone.
#pragma once

#include "runtime/operation.h"

namespace remoe {

// One row of [E] per tile of kTileTokens tokens, added up in a fixed order: floating-point atomics
// would add them in order of arrival.
class TileStatistics {
 public:
  TileStatistics(Operation& op, int tokens, int experts);

  int32_t* counts() const { return counts_.data(); }
  float* sums() const { return sums_.data(); }

  // Enqueues the sums over the tiles.
  void reduce(Operation& op, int32_t* counts, float* sums) const;

 private:
  int tiles_;
  int experts_;
  Scratch<int32_t> counts_;
  Scratch<float> sums_;
};

// The counts of a mask and the sums over the tokens of values [T, E].
void router_statistics(Operation& op, int32_t* counts, float* sums, const uint32_t* mask,
                       const float* values, int tokens, int experts);

}  // namespace remoe
