// The tiles of rows that grouped products over the experts are divided into. Only the device knows
// how many there are, so it lists them, and kernels walk the list with a grid that fits the device.
#pragma once

#include "moe/expert_arguments.h"
#include "runtime/operation.h"

namespace remoe {

// Rows [row, row + rows) of the plan, all of one expert.
struct alignas(16) ExpertTile {
  int32_t expert;
  int32_t row;
  int32_t rows;
  int32_t unused;
};

struct TileList {
  const int32_t* count;
  const ExpertTile* tiles;
};

// The most tiles of `height` rows: each expert may fill one in part.
inline size_t most_tiles(const ExpertSizes& sizes, int height) {
  return static_cast<size_t>(sizes.most_rows) / height + sizes.experts;
}

// A list on its way through the kernels of one call.
class ExpertTiles {
 public:
  // Enqueues the listing of tiles of at most `height` rows, experts ascending. Reports a plan of
  // other sizes, which counts as one without rows.
  ExpertTiles(Operation& op, const PlanView& plan, const ExpertSizes& sizes, int height);

  TileList list() const { return {count_.data(), tiles_.data()}; }
  // Tiles that there can be.
  size_t most() const { return most_; }

 private:
  size_t most_;
  Scratch<int32_t> count_;
  Scratch<ExpertTile> tiles_;
};

// Blocks for `tiles` tiles of work at most: as many as run at once, which then stride over them.
inline dim3 resident_blocks(Operation& op, uint64_t tiles, int per_multiprocessor) {
  return dim3(grid_blocks(tiles, 1, op.context.multiprocessors * per_multiprocessor));
}

}  // namespace remoe
