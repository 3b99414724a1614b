// The warpgroups that multiply in attention's gradient on wgmma, each 64 of a tile's standing rows.
#pragma once

#include "attention/flash_gradient.h"

namespace remoe::flash {

template <int kHead, bool kKeysStand>
struct GradientConsumer {
  using S = GradientShared<kHead>;
  static constexpr int kScores = kSide / 2;
  static constexpr int kOut = S::kBlocks * kSide / 2;
  // A step's last product runs beside the next one's first where there are registers for it.
  static constexpr bool kOverlap = S::kBlocks == 1 || !kKeysStand;
  S& s;
  const GradientArguments& a;
  int group;
  int warp;
  int lane;
  int step = 0;
  int owed = -1;  // the slot that the last product may still read
  float score[kScores];
  float slope[kScores];
  float out1[kOut];
  float out2[kKeysStand ? kOut : 1];
  uint32_t weight[kScores / 2];
  uint32_t change[kScores / 2];
  float row_exponent[2];  // statistics, where queries stand
  float row_projection[2];

  __device__ __forceinline__ GradientConsumer(S& shared, const GradientArguments& arguments)
      : s(shared),
        a(arguments),
        group(static_cast<int>(threadIdx.x) / kWarpgroup - 1),
        warp(static_cast<int>(threadIdx.x) % kWarpgroup / kWarp),
        lane(static_cast<int>(threadIdx.x) % kWarp) {}

  // Within this consumer's 64.
  __device__ __forceinline__ int own_row(int half) const { return warp * 16 + lane / 4 + half * 8; }
  __device__ __forceinline__ int column(int j, int i) const { return j * 8 + lane % 4 * 2 + i; }

  // score = X1 Y1^T, or slope = X2 Y2^T
  __device__ __forceinline__ void multiply_rows(float (&to)[kScores], int buffer, int slot,
                                                int which) {
    const auto& left = s.standing[buffer][which][group];
    const auto& right = s.passing[slot][which];
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kHead; k += 16) {
      wgmma<0, 0>(to, along_rows(left[k / kSide], k % kSide),
                  along_rows(right[k / kSide], k % kSide), k > 0 ? 1 : 0);
    }
    wgmma_commit();
  }

  // out1 += ds Y1, or out2 += p Y2
  __device__ __forceinline__ void add_product(float (&to)[kOut],
                                              const uint32_t (&left)[kScores / 2], int slot,
                                              int which) {
    const auto& right = s.passing[slot][which];
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kSide; k += 16) {
      const int i = k / 4;
      wgmma<1>(to, left[i], left[i + 1], left[i + 2], left[i + 3],
               across_rows(right[0], k, kBlockBytes));
    }
    wgmma_commit();
  }

  // The statistics of two adjacent passing queries.
  __device__ __forceinline__ float2 passing_statistics(int slot, int which, int j) const {
    if constexpr (kKeysStand) return shared_get_2(&s.statistics[slot][which][column(j, 0)]);
    return {};
  }

  // Scores become p. On the diagonal what lies in the future is masked.
  template <bool kDiagonal>
  __device__ __forceinline__ void weigh(int slot, float scale) {
#pragma unroll
    for (int j = 0; j < kSide / 8; j++) {
      const float2 exponent = passing_statistics(slot, 0, j);
#pragma unroll
      for (int half = 0; half < 2; half++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          float& x = score[j * 4 + half * 2 + i];
          const float shift = kKeysStand ? (i == 0 ? exponent.x : exponent.y) : row_exponent[half];
          x = exp2_fast(x * scale - shift);
          const bool future =
              kKeysStand ? column(j, i) < own_row(half) : column(j, i) > own_row(half);
          if (kDiagonal && future) x = 0.0f;
        }
      }
    }
  }

  // Slopes become ds.
  __device__ __forceinline__ void differentiate(int slot) {
#pragma unroll
    for (int j = 0; j < kSide / 8; j++) {
      const float2 projection = passing_statistics(slot, 1, j);
#pragma unroll
      for (int half = 0; half < 2; half++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int n = j * 4 + half * 2 + i;
          const float mean =
              kKeysStand ? (i == 0 ? projection.x : projection.y) : row_projection[half];
          slope[n] = score[n] * (slope[n] - mean);
        }
      }
    }
  }

  __device__ __forceinline__ void release(int slot) const {
    if (lane == 0) arrive(&s.empty[slot]);
  }

  // After the last product has ended.
  __device__ __forceinline__ void settle() {
    if (owed >= 0) release(owed);
    owed = -1;
  }

  // One passing block.
  __device__ __forceinline__ void advance(int buffer, bool diagonal, float scale) {
    const int slot = step % S::kSlots;
    wait(&s.full[slot], step / S::kSlots & 1);
    multiply_rows(score, buffer, slot, 0);
    multiply_rows(slope, buffer, slot, 1);
    wgmma_wait<1>();
    settle();
    if (diagonal) {
      weigh<true>(slot, scale);
    } else {
      weigh<false>(slot, scale);
    }
    if constexpr (kKeysStand) {
      pack(weight, score);
      add_product(out2, weight, slot, 1);
      wgmma_wait<1>();
    } else {
      wgmma_wait<0>();
    }
    differentiate(slot);
    pack(change, slope);
    add_product(out1, change, slot, 0);
    owed = slot;
    if constexpr (!kOverlap) {
      wgmma_wait<0>();
      settle();
    }
    step++;
  }

  // A passing block that this consumer's rows do not see.
  __device__ __forceinline__ void skip() {
    wgmma_wait<0>();
    settle();
    const int slot = step % S::kSlots;
    wait(&s.full[slot], step / S::kSlots & 1);
    __syncwarp();  // no lane may see the next round's phase before it has seen this one's
    release(slot);
    step++;
  }

  __device__ __forceinline__ void store(const float (&from)[kOut], Bf16* to, float factor,
                                        const GradientTile& tile) const {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = tile.row + group * kSide + own_row(half);
      const size_t place =
          (static_cast<size_t>(tile.batch) * a.sizes.sequence + row) * a.sizes.stride;
      write_row<kHead>(to + place + static_cast<size_t>(tile.head) * kHead, from, half, factor,
                       row < a.sizes.sequence);
    }
  }

  __device__ __forceinline__ void begin(const GradientTile& tile, bool valid) {
#pragma unroll
    for (int i = 0; i < kOut; i++) out1[i] = 0.0f;
    if constexpr (kKeysStand) {
#pragma unroll
      for (int i = 0; i < kOut; i++) out2[i] = 0.0f;
    } else {
      const int head = tile.batch * a.sizes.heads + tile.head;
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int row = tile.row + group * kSide + own_row(half);
        row_exponent[half] = valid ? a.statistics.of(0, head)[row] : 0.0f;
        row_projection[half] = valid ? a.statistics.of(1, head)[row] : 0.0f;
      }
    }
  }

  __device__ __forceinline__ void finish(const GradientTile& tile) {
    if constexpr (kKeysStand) {
      store(out1, a.dk, a.scale, tile);
      store(out2, a.dv, 1.0f, tile);
    } else {
      store(out1, a.dq, a.scale, tile);
    }
  }

  __device__ __forceinline__ void run() {
    const float scale = a.scale * kLog2E;
    GradientTile tile;
    int count = 0;
    for (int number = static_cast<int>(blockIdx.x); find_tile<kKeysStand>(a.sizes, number, tile);
         number += static_cast<int>(gridDim.x), count++) {
      const int buffer = count % S::kBuffers;
      const bool valid = tile.row + group * kSide < a.sizes.sequence;
      begin(tile, valid);
      wait(&s.standing_full[buffer], count / S::kBuffers & 1);
      const int own = tile.row / kSide + group;  // the diagonal's block
      for (int h = 0; h < tile.heads; h++) {
        for (int i = 0; i < tile.steps; i++) {
          const int block = tile.first + i;
          if (valid && (kKeysStand ? block >= own : block <= own)) {
            advance(buffer, block == own, scale);
          } else {
            skip();
          }
        }
      }
      wgmma_wait<0>();
      settle();
      if (lane == 0) arrive(&s.standing_empty[buffer]);
      finish(tile);
    }
  }
};

}  // namespace remoe::flash
