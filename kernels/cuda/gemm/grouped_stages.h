// The ring of stages in shared memory through which a tile's operands come, and its results leave.
//
// Everything is made of blocks of 64 rows of 128 bytes in the 128-byte swizzle:
//
//   operand's inner dimension   a block's rows   its columns
//   depth (K-major)             rows of A, or    depth
//                               columns of B
//   rows or columns (MN-major)  depth            rows of A, or columns of B
//
// so one box of 64 x 64 serves every tensor map, and weights are used as they lie, [expert, in,
// out], for the forward product (MN-major) and for its transpose (K-major).
#pragma once

#include "gemm/grouped_tiles.h"

namespace remoe::grouped {

constexpr int kSide = 64;             // of a block
constexpr int kRowBytes = 2 * kSide;  // of a block's row: the width of the swizzle
constexpr int kStages = 4;
constexpr int kConsumers = 2;
constexpr int kThreads = (1 + kConsumers) * kWarpgroup;
constexpr int kWarpRows = 16;  // a warp's of its warpgroup's 64

struct Block {
  Bf16 element[kSide * kSide];
};
constexpr int kBlockBytes = sizeof(Block);
constexpr int kBlocksA = kTileRows / kSide;
constexpr int kBlocksB = kTileColumns / kSide;
constexpr int kChunkBlocks = (kBlocksA + kBlocksB) / kConsumers;  // a consumer's of a stage

// For a step of the depth A's blocks and B's, for a chunk of the epilogue each consumer's.
struct Stage {
  Block block[kBlocksA + kBlocksB];

  __device__ __forceinline__ Block* a() { return block; }
  __device__ __forceinline__ Block* b() { return block + kBlocksA; }
  __device__ __forceinline__ Block* chunk(int group) { return block + group * kChunkBlocks; }
};

struct Shared {
  Stage stage[kStages];
  Barrier full[kStages];
  Barrier empty[kStages];
  Schedule schedule;
};
static_assert(sizeof(Shared) <= 227 * 1024, "more shared memory than a block can have");

// Where the ring stands: the slot and the barriers' phase of a step.
struct Place {
  int slot;
  uint32_t phase;
};
__device__ __forceinline__ Place place_of(int step) {
  return {step % kStages, static_cast<uint32_t>(step / kStages & 1)};
}

// The place of 16-byte chunk `chunk` of row `row` in a block, in elements.
__device__ __forceinline__ int swizzled(int row, int chunk) {
  return row * kSide + ((chunk ^ (row & 7)) * 8);
}

}  // namespace remoe::grouped
