// The warpgroups that multiply in attention's forward pass on wgmma, each 64 of a tile's queries.
#pragma once

#include "attention/flash_forward.h"

namespace remoe::flash {

// A thread's running state: rows lane / 4 and lane / 4 + 8 of its warp's 16.
template <int kHead>
struct ForwardConsumer {
  using S = ForwardShared<kHead>;
  static constexpr int kScores = kKeys / 2;
  static constexpr int kOut = S::kBlocks * kSide / 2;
  S& s;
  const ForwardArguments& a;
  int group;
  int warp;
  int lane;
  int slot = 0;
  float score[kScores];
  float out[kOut];
  uint32_t weight[kScores / 2];  // exp(score - m), as operand A
  float top[2];                  // m, before scaling
  float sum[2];                  // this lane's part of l

  __device__ __forceinline__ ForwardConsumer(S& shared, const ForwardArguments& arguments)
      : s(shared),
        a(arguments),
        group(static_cast<int>(threadIdx.x) / kWarpgroup - 1),
        warp(static_cast<int>(threadIdx.x) % kWarpgroup / kWarp),
        lane(static_cast<int>(threadIdx.x) % kWarp) {}

  __device__ __forceinline__ int own_row(int half) const {
    return group * kSide + warp * 16 + lane / 4 + half * 8;
  }
  __device__ __forceinline__ void await(int number) {
    wait(&s.full[number % S::kSlots], number / S::kSlots & 1);
  }
  __device__ __forceinline__ void free(int number) {
    if (lane == 0) arrive(&s.empty[number % S::kSlots]);
  }

  // The warpgroups take turns, so that the softmax of one runs beside the products of the other. A
  // turn is waited for at a named barrier of one's own, where the other arrives; the second gives
  // the first turn.
  static constexpr int kFirstBarrier = 2;
  __device__ __forceinline__ void take_turn() const {
    named_barrier_sync(kFirstBarrier + group, kConsumers * kWarpgroup);
  }
  __device__ __forceinline__ void give_turn() const {
    named_barrier_arrive(kFirstBarrier + 1 - group, kConsumers * kWarpgroup);
  }

  // score = Q K^T
  __device__ __forceinline__ void multiply_keys(int number, int buffer) {
    const auto& keys = s.ring[number % S::kSlots];
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kHead; k += 16) {
      wgmma<0, 0>(score, along_rows(s.query[buffer][k / kSide][group], k % kSide),
                  along_rows(keys[k / kSide][0], k % kSide), k > 0 ? 1 : 0);
    }
    wgmma_commit();
  }

  // out += weight V
  __device__ __forceinline__ void multiply_values(int number) {
    const auto& values = s.ring[number % S::kSlots];
    constexpr int kLeading = kKeys / kSide * kBlockBytes;
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kKeys; k += 16) {
      const int i = k / 4;
      wgmma<1>(out, weight[i], weight[i + 1], weight[i + 2], weight[i + 3],
               across_rows(values[0][k / kSide], k % kSide, kLeading));
    }
    wgmma_commit();
  }

  // Scores become exp(score - m). `factor` receives what rescales earlier sums.
  template <bool kDiagonal>
  __device__ __forceinline__ void soften(float scale, float (&factor)[2]) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float high = kDiagonal ? -INFINITY : top[half];
#pragma unroll
      for (int j = 0; j < kKeys / 8; j++) {
#pragma unroll
        for (int p = 0; p < 2; p++) {
          float& x = score[j * 4 + half * 2 + p];
          if (kDiagonal && j * 8 + lane % 4 * 2 + p > own_row(half)) x = -INFINITY;
          high = fmaxf(high, x);
        }
      }
      high = fmaxf(high, __shfl_xor_sync(kFullWarp, high, 1));
      high = fmaxf(high, __shfl_xor_sync(kFullWarp, high, 2));
      factor[half] = kDiagonal ? 0.0f : exp2_fast((top[half] - high) * scale);
      top[half] = high;
      const float shift = high * scale;
      float part = 0.0f;
#pragma unroll
      for (int j = 0; j < kKeys / 8; j++) {
#pragma unroll
        for (int p = 0; p < 2; p++) {
          float& x = score[j * 4 + half * 2 + p];
          x = exp2_fast(x * scale - shift);
          part += x;
        }
      }
      sum[half] = kDiagonal ? part : sum[half] * factor[half] + part;
    }
  }

  __device__ __forceinline__ void store(const ForwardTile& tile) {
    const AttentionSizes& sizes = a.sizes;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float total = sum[half];
      total += __shfl_xor_sync(kFullWarp, total, 1);
      total += __shfl_xor_sync(kFullWarp, total, 2);
      const int row = tile.query + own_row(half);
      const bool inside = row < sizes.sequence;
      const size_t place =
          (static_cast<size_t>(tile.batch) * sizes.sequence + row) * sizes.heads + tile.head;
      if (a.normalizer != nullptr && inside && lane % 4 == 0) {
        a.normalizer[2 * place] = top[half] * a.scale;
        a.normalizer[2 * place + 1] = total;
      }
      write_row<kHead>(a.out + place * kHead, out, half, 1.0f / total, inside);
    }
  }

  // One tile of queries against all keys that it sees.
  __device__ __forceinline__ void attend(const ForwardTile& tile, int buffer, float scale) {
    float factor[2];
#pragma unroll
    for (int i = 0; i < kOut; i++) out[i] = 0.0f;
    await(slot);
    multiply_keys(slot, buffer);
    wgmma_wait<0>();
    free(slot++);
    soften<true>(scale, factor);
    pack(weight, score);
    for (int step = 1; step < tile.steps; step++, slot += 2) {
      await(slot);
      take_turn();
      multiply_keys(slot, buffer);
      await(slot + 1);
      multiply_values(slot + 1);
      give_turn();
      wgmma_wait<1>();  // the scores are there, the values' product may still run
      free(slot);
      soften<false>(scale, factor);
      wgmma_wait<0>();
      free(slot + 1);
#pragma unroll
      for (int i = 0; i < kOut; i++) out[i] *= factor[i / 2 % 2];
      pack(weight, score);
    }
    if (lane == 0) arrive(&s.query_empty[buffer]);
    await(slot);
    multiply_values(slot);
    wgmma_wait<0>();
    free(slot++);
  }

  __device__ __forceinline__ void run() {
    const float scale = a.scale * kLog2E;
    ForwardTile tile;
    int count = 0;
    if (group == 1) give_turn();
    for (int number = static_cast<int>(blockIdx.x); find_tile(a.sizes, number, tile);
         number += static_cast<int>(gridDim.x), count++) {
      const int buffer = count % kQueryBuffers;
      wait(&s.query_full[buffer], count / kQueryBuffers & 1);
      attend(tile, buffer, scale);
      store(tile);
    }
  }
};

}  // namespace remoe::flash
