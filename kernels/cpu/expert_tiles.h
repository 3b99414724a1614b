// The rows of a plan cut into groups of experts and tiles of rows.
#pragma once

#include <algorithm>
#include <cstdint>

#include "context.h"
#include "dispatch_plan.h"
#include "parallel.h"

namespace remoe::REMOE_TARGET {

// Rows of a tile. At width 512, h of 128 rows (512 KiB) and both weights of a hidden size of 128
// (768 KiB) fit a core's L2; more rows gain nothing once the copy of the weights is paid for. 126
// is a multiple of 14 and of 6, the rows of a register tile.
inline constexpr int kExpertTileRows = 126;

// An expert with more rows than this has its weights packed once for all of its tiles; for fewer,
// the product packs as it goes, blocks that stay in cache.
inline constexpr int kPackedFromRows = 2 * kExpertTileRows;

// Floats of scratch memory that a group of experts may take, 64 MiB: small beside what a step
// holds, enough that threads seldom wait for the end of a group.
inline constexpr int64_t kGroupFloats = int64_t{16} << 20;

// Experts [begin, end), worked together.
struct ExpertGroup {
  int begin;
  int end;
};

// The next group from expert `begin` on: as many experts as fit in kGroupFloats, at least one, if
// each row takes `row_floats` and each expert whose weights are packed `packed_floats`.
inline ExpertGroup next_group(const Plan& plan, int begin, int experts, int64_t row_floats,
                              int64_t packed_floats) {
  int64_t floats = 0;
  int end = begin;
  while (end < experts) {
    const int64_t rows = plan.expert_rows(end);
    floats += rows * row_floats + (rows > kPackedFromRows ? packed_floats : 0);
    if (floats > kGroupFloats && end > begin) break;
    ++end;
  }
  return {begin, end};
}

// Rows [begin, end) of one expert.
struct ExpertTile {
  int expert;
  int begin;
  int end;
  int rows() const { return end - begin; }
};

// The tiles of a group, of at most kExpertTileRows rows each, in the order of the rows.
class ExpertTiles {
 public:
  ExpertTiles(Context& context, const Plan& plan, ExpertGroup group)
      : tiles_(context, capacity(plan, group)) {
    for (int e = group.begin; e < group.end; ++e) {
      const int end = plan.expert_offset(e + 1);
      for (int begin = plan.expert_offset(e); begin < end; begin += kExpertTileRows) {
        tiles_[count_++] = {e, begin, std::min(end, begin + kExpertTileRows)};
      }
    }
  }

  int64_t count() const { return count_; }
  const ExpertTile& operator[](int64_t i) { return tiles_[i]; }

 private:
  static std::size_t capacity(const Plan& plan, ExpertGroup group) {
    const int rows = plan.expert_offset(group.end) - plan.expert_offset(group.begin);
    return rows / kExpertTileRows + (group.end - group.begin);
  }

  Scratch<ExpertTile> tiles_;
  int64_t count_ = 0;
};

}  // namespace remoe::REMOE_TARGET
