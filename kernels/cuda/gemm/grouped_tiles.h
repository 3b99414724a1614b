// Grouped products C = A B in bf16 on Hopper's tensor cores: what one is called with, and which
// tile of it is whose.
//
// Either the rows are grouped (an expert's rows, with all of the depth and its own B) or the depth
// is (gradients of weights: all rows and columns of the group's own C, an expert's rows as the
// depth). A dense product has one group, or groups of equal depth whose C are added afterwards.
//
// The grid is persistent: the device alone knows the groups, so a block takes every gridDim-th tile
// until there are no more.
#pragma once

#include "device/block_scan.h"
#include "device/hopper.h"
#include "moe/plan_view.h"

namespace remoe::grouped {

using namespace hopper;

constexpr int kTileRows = 128;
constexpr int kTileColumns = 256;
constexpr int kDepth = 64;  // of a step
constexpr int kBand = 16;   // rows of tiles that pass over all columns together, for L2
constexpr int kMostGroups = 1024;

// The groups' rows, or depths: those of a plan's experts, or equal ones.
struct Groups {
  PlanView plan;  // without words: equal groups
  int count;
  int step;   // of equal groups
  int total;  // of all

  // Whether a plan's offsets are valid: else every group is empty.
  __device__ __forceinline__ bool valid() const { return plan.words == nullptr || plan.rows() > 0; }
  __device__ __forceinline__ int begin(int group, bool is_valid) const {
    if (!is_valid) return 0;
    if (plan.words != nullptr) return plan.expert_offset()[group];
    const int64_t first = static_cast<int64_t>(group) * step;
    return first < total ? static_cast<int>(first) : total;
  }
};

struct Arguments {
  Groups groups;
  int rows;     // of C where the depth is grouped
  int columns;  // of C; of a half where they are paired
  int depth;    // where the rows are grouped
  int skipped;  // tiles that end at or before this row are left out
  const Bf16* a;
  const Bf16* b;  // where the depth is grouped
  int a_stride;   // of gathered rows of A
  void* out;      // absent: nullptr
  void* out2;
  const float* gates;  // [T, E]
  float* partial;      // [rows, column tiles]
  int kept_rows;       // of the pre-activations
  int accumulate;
  float alpha;
  // Of the output head's rows:
  const int32_t* targets;
  int first_target;  // of the product's columns
  float* target_logit;
  const float* row_factors;  // [rows, 3]
};

struct Maps {
  TensorMap a;
  TensorMap b;
  TensorMap h;           // kept pre-activations
  TensorMap recomputed;  // the others
  TensorMap out;
  TensorMap out2;
};

struct Schedule {
  int32_t first[kMostGroups + 1];   // tile of each group
  int32_t offset[kMostGroups + 1];  // row, or depth, of each group
};

struct Tile {
  int group;
  int row;     // first row, in memory
  int rows;    // valid rows from there, not above kTileRows
  int column;  // first column
  int start;   // of the depth
  int depth;
};

__host__ __device__ __forceinline__ int divide_up(int a, int b) { return (a + b - 1) / b; }

// P names a product: kGatherA, kGatherB, kGroupedDepth, kTransposedB, kPaired, Epilogue.
template <class P>
__host__ __device__ __forceinline__ int column_tiles(int columns) {
  return divide_up(columns, P::kPaired ? kTileColumns / 2 : kTileColumns);
}

// By one warp; a barrier has to follow.
template <class P>
__device__ __forceinline__ void fill_schedule(Schedule& s, const Arguments& a, int lane) {
  const bool valid = a.groups.valid();
  const int columns = column_tiles<P>(a.columns);
  int carry = 0;
  for (int base = 0; base < a.groups.count; base += kWarp) {
    const int group = base + lane;
    int tiles = 0;
    if (group < a.groups.count) {
      const int begin = a.groups.begin(group, valid);
      const int extent = a.groups.begin(group + 1, valid) - begin;
      s.offset[group] = begin;
      // Nothing is added to the gradient of a group without depth.
      const bool idle = P::kGroupedDepth && a.accumulate && extent == 0;
      tiles = idle ? 0 : divide_up(P::kGroupedDepth ? a.rows : extent, kTileRows) * columns;
    }
    const int through = static_cast<int>(warp_inclusive_scan(static_cast<uint32_t>(tiles)));
    if (group < a.groups.count) s.first[group + 1] = carry + through;
    carry += __shfl_sync(kFullWarp, through, kWarp - 1);
  }
  if (lane == 0) {
    s.first[0] = 0;
    s.offset[a.groups.count] = a.groups.begin(a.groups.count, valid);
  }
}

// The group of a tile, by bisection: first[g] <= number < first[g + 1].
__device__ __forceinline__ int find_group(const Schedule& s, int groups, int number) {
  int low = 0;
  int high = groups;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (s.first[middle] <= number) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// Walks over the block's tiles.
template <class P>
struct BlockTiles {
  const Schedule& s;
  const Arguments& a;
  int number = static_cast<int>(blockIdx.x);

  __device__ __forceinline__ bool next(Tile& tile) {
    for (; number < s.first[a.groups.count]; number += static_cast<int>(gridDim.x)) {
      place(tile);
      if (P::kGroupedDepth || tile.row + tile.rows > a.skipped) {
        number += static_cast<int>(gridDim.x);
        return true;
      }
    }
    return false;
  }

 private:
  __device__ __forceinline__ void place(Tile& tile) const {
    const int group = find_group(s, a.groups.count, number);
    const int begin = s.offset[group];
    const int extent = s.offset[group + 1] - begin;
    const int all_rows = P::kGroupedDepth ? a.rows : extent;
    const int columns = column_tiles<P>(a.columns);
    const int n = number - s.first[group];
    const int band = n / (kBand * columns);
    const int within = n % (kBand * columns);
    const int left = divide_up(all_rows, kTileRows) - band * kBand;
    const int height = left < kBand ? left : kBand;
    const int row = (band * kBand + within % height) * kTileRows;
    tile.group = group;
    tile.row = P::kGroupedDepth ? row : begin + row;
    tile.rows = all_rows - row < kTileRows ? all_rows - row : kTileRows;
    tile.column = within / height * (P::kPaired ? kTileColumns / 2 : kTileColumns);
    tile.start = P::kGroupedDepth ? begin : 0;
    tile.depth = P::kGroupedDepth ? extent : a.depth;
  }
};

}  // namespace remoe::grouped
