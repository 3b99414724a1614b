// What the forward pass and the gradient of attention on wgmma have in common. Tiles are made of
// blocks of 64 rows by 64 elements of a head, in the 128-byte swizzle: a box of the bulk tensor
// copies. A head of 32 or 96 leaves half of its last block to elements of the next head: the
// scores' products stop before them, and what those of the results make of them is not written.
#pragma once

#include <type_traits>

#include "attention/attention_arguments.h"
#include "device/block_scan.h"
#include "device/fast_math.h"
#include "device/hopper.h"
#include "runtime/tensor_maps.h"

namespace remoe::flash {

using namespace hopper;

constexpr int kSide = 64;             // of a block
constexpr int kRowBytes = 2 * kSide;  // of a block's row: the width of the swizzle
constexpr int kConsumers = 2;         // warpgroups that multiply; another one loads
constexpr int kThreads = (1 + kConsumers) * kWarpgroup;
constexpr int kConsumerWarps = kConsumers * kWarpgroup / kWarp;
constexpr float kLog2E = 1.4426950408889634f;

struct Block {
  Bf16 element[kSide * kSide];
};
constexpr int kBlockBytes = sizeof(Block);

__host__ __device__ constexpr int divide_up(int a, int b) { return (a + b - 1) / b; }

// An operand whose rows are those of the product, or its columns: K-major. From element `k` of a
// block's rows on.
__device__ __forceinline__ uint64_t along_rows(const Block& block, int k) {
  return descriptor(&block.element[k], 16, 8 * kRowBytes);
}

// An operand whose rows are the inner dimension: MN-major. From row `k` of a block on; blocks of
// the next 64 columns are `leading` bytes further.
__device__ __forceinline__ uint64_t across_rows(const Block& block, int k, uint32_t leading) {
  return descriptor(&block.element[k * kSide], leading, 8 * kRowBytes);
}

// ---- results, as wgmma leaves them: a lane has rows lane / 4 and lane / 4 + 8 of its warp's 16,
// and two of every eight columns

// The first kColumns of row lane / 4 + half * 8 as bf16, times `factor`, to `to`. Four lanes have a
// row: they exchange their pairs so that each writes 16 bytes. All lanes of a warp take part.
template <int kColumns, int kCount>
__device__ __forceinline__ void write_row(Bf16* to, const float (&sum)[kCount], int half,
                                          float factor, bool inside) {
  static_assert(kColumns <= 2 * kCount && kColumns % 32 == 0);
  const int lane = static_cast<int>(threadIdx.x) % 4;
  const bool odd = (lane & 1) != 0;
  const bool upper = (lane & 2) != 0;
#pragma unroll
  for (int j = 0; j < kColumns / 8; j += 4) {
    uint32_t v[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int n = (j + i) * 4 + half * 2;
      v[i] = to_bf16_pair(sum[n] * factor, sum[n + 1] * factor).bits;
    }
    // Transposes the 4 x 4 pairs of four lanes: first within 2 x 2, then those.
    uint32_t x = __shfl_xor_sync(kFullWarp, odd ? v[0] : v[1], 1);
    uint32_t y = __shfl_xor_sync(kFullWarp, odd ? v[2] : v[3], 1);
    if (odd) {
      v[0] = x;
      v[2] = y;
    } else {
      v[1] = x;
      v[3] = y;
    }
    x = __shfl_xor_sync(kFullWarp, upper ? v[0] : v[2], 2);
    y = __shfl_xor_sync(kFullWarp, upper ? v[1] : v[3], 2);
    if (upper) {
      v[0] = x;
      v[1] = y;
    } else {
      v[2] = x;
      v[3] = y;
    }
    const uint4 run = {v[0], v[1], v[2], v[3]};
    if (inside) *reinterpret_cast<uint4*>(to + (j + lane) * 8) = run;
  }
}

// A product's results as operand A of the next one, in bf16.
template <int kCount>
__device__ __forceinline__ void pack(uint32_t (&to)[kCount / 2], const float (&from)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount / 2; i++) to[i] = to_bf16_pair(from[2 * i], from[2 * i + 1]).bits;
}

// ---- the host's part

// Runs body with the size of a head as a constant.
template <class Body>
void with_head(int head_dim, Body&& body) {
  if (head_dim == 32) {
    body(std::integral_constant<int, 32>{});
  } else if (head_dim == 64) {
    body(std::integral_constant<int, 64>{});
  } else if (head_dim == 96) {
    body(std::integral_constant<int, 96>{});
  } else {
    body(std::integral_constant<int, 128>{});
  }
}

// [batch, sequence, heads * head_dim], rows `stride` elements apart. What lies beyond a sequence
// reads as 0.
inline TensorMap map_of(const Bf16* data, const AttentionSizes& sizes, int heads, size_t stride) {
  const uint64_t row_bytes = stride * sizeof(Bf16);
  return encode_tensor_map(
      data, {.dtype = REMOE_BF16,
             .size = {static_cast<uint64_t>(heads) * sizes.head_dim,
                      static_cast<uint64_t>(sizes.sequence), static_cast<uint64_t>(sizes.batch)},
             .stride = {row_bytes, row_bytes * sizes.sequence},
             .box = {kSide, kSide, 1}});
}

}  // namespace remoe::flash
