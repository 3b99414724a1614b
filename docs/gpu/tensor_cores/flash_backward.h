// Causal attention backward on wgmma, grouped queries, head sizes 64 and 128, without atomics: one
// kernel for the gradients of keys and values, a block of keys standing still while queries pass;
// one for those of queries, where it is the other way round. Both are the same products
//
//   score = X1 Y1^T    slope = X2 Y2^T    p = exp(score - lse)    ds = p (slope - delta)
//   out1 += ds Y1      out2 += p Y2
//
//             standing X1, X2   passing Y1, Y2   out1   out2
//   keys      K, V              Q, dO            dK     dV
//   queries   Q, dO             K, V             dQ     -
//
// each consumer with 64 rows of its own, 64 passing rows a step, p and ds from registers.
#pragma once

#include "flash.h"

namespace remoe {

constexpr int kStanding = kConsumers * kSide;  // rows of a tile

template <int kHead>
struct BackwardShared {
  static constexpr int kBlocks = kHead / kSide;
  static constexpr int kSlots = kHead == 64 ? 6 : 3;
  static constexpr int kBuffers = 2;
  using Rows = Block[kBlocks];  // 64 elements of the head each
  Rows standing[kBuffers][2][kConsumers];
  Rows passing[kSlots][2];
  float stat[kSlots][2][kSide];  // of passing queries: lse in bits, delta
  Barrier standing_full[kBuffers];
  Barrier standing_empty[kBuffers];
  Barrier full[kSlots];
  Barrier empty[kSlots];
};

struct BackwardArguments {
  bf16* dq;
  bf16* dk;
  bf16* dv;
  const float* stat;  // [2, batch, heads, padded]: lse in bits, delta; infinite and 0 beyond length
  int batch;
  int length;
  int padded;  // length, to a multiple of 64
  int heads;
  int groups;  // of heads that share keys and values
  int pitch;   // of dq, dk and dv
  float scale;
};

struct BackwardMaps {
  TensorMap q;
  TensorMap k;
  TensorMap v;
  TensorMap gradient;  // dO
};

struct BackwardTile {
  int batch;
  int head;   // of keys and values, or of queries
  int row;    // first
  int first;  // passing block of 64 rows
  int steps;  // blocks a head
  int heads;  // whose blocks pass, one head after the other
};

// The longest tiles first.
template <bool kKeysStand>
__host__ __device__ __forceinline__ bool find_backward_tile(const BackwardArguments& a, int number,
                                                            BackwardTile& tile) {
  const int blocks = divide_up(a.length, kStanding);
  const int heads = kKeysStand ? a.groups : a.heads;
  if (number >= blocks * heads * a.batch) return false;
  const int passing = divide_up(a.length, kSide);
  const int n = number / (heads * a.batch);
  const int rest = number % (heads * a.batch);
  const int block = kKeysStand ? n : blocks - 1 - n;
  const int diagonal = block * kConsumers;
  tile.batch = rest / heads;
  tile.head = rest % heads;
  tile.row = block * kStanding;
  tile.first = kKeysStand ? diagonal : 0;
  const int end = kKeysStand || diagonal + kConsumers > passing ? passing : diagonal + kConsumers;
  tile.steps = end - tile.first;
  tile.heads = kKeysStand ? a.heads / a.groups : 1;
  return true;
}

// ---- the producer

template <int kHead>
__device__ __forceinline__ void copy_head(typename BackwardShared<kHead>::Rows& to, Barrier* full,
                                          const TensorMap& map, int head, int row, int batch) {
  for (int b = 0; b < BackwardShared<kHead>::kBlocks; b++) {
    copy_box(&to[b], map, head * kHead + b * kSide, row, batch, full);
  }
}

template <int kHead, bool kKeysStand>
__device__ __forceinline__ void produce_backward(BackwardShared<kHead>& s,
                                                 const BackwardArguments& a,
                                                 const BackwardMaps& maps) {
  using S = BackwardShared<kHead>;
  constexpr int kRowsBytes = S::kBlocks * kBlockBytes;
  constexpr int kStatBytes = kSide * sizeof(float);
  const int ratio = a.heads / a.groups;
  BackwardTile tile;
  int step = 0;
  int count = 0;
  for (int number = static_cast<int>(blockIdx.x); find_backward_tile<kKeysStand>(a, number, tile);
       number += static_cast<int>(gridDim.x), count++) {
    const int buffer = count % S::kBuffers;
    Barrier* standing = &s.standing_full[buffer];
    wait(&s.standing_empty[buffer], (count / S::kBuffers & 1) ^ 1);
    arrive_expect(standing, 2 * kConsumers * kRowsBytes);
    for (int group = 0; group < kConsumers; group++) {
      const int row = tile.row + group * kSide;
      copy_head<kHead>(s.standing[buffer][0][group], standing, kKeysStand ? maps.k : maps.q,
                       tile.head, row, tile.batch);
      copy_head<kHead>(s.standing[buffer][1][group], standing, kKeysStand ? maps.v : maps.gradient,
                       tile.head, row, tile.batch);
    }
    for (int h = 0; h < tile.heads; h++) {
      for (int i = 0; i < tile.steps; i++, step++) {
        const int slot = step % S::kSlots;
        const int row = (tile.first + i) * kSide;
        Barrier* full = &s.full[slot];
        wait(&s.empty[slot], (step / S::kSlots & 1) ^ 1);
        arrive_expect(full, 2 * kRowsBytes + (kKeysStand ? 2 * kStatBytes : 0));
        const int head = kKeysStand ? tile.head * ratio + h : tile.head / ratio;
        copy_head<kHead>(s.passing[slot][0], full, kKeysStand ? maps.q : maps.k, head, row,
                         tile.batch);
        copy_head<kHead>(s.passing[slot][1], full, kKeysStand ? maps.gradient : maps.v, head, row,
                         tile.batch);
        if constexpr (kKeysStand) {
          const size_t place = (static_cast<size_t>(tile.batch) * a.heads + head) * a.padded + row;
          const size_t second = static_cast<size_t>(a.batch) * a.heads * a.padded;
          copy_bytes(s.stat[slot][0], a.stat + place, kStatBytes, full);
          copy_bytes(s.stat[slot][1], a.stat + second + place, kStatBytes, full);
        }
      }
    }
  }
}

// ---- the consumers

template <int kHead, bool kKeysStand>
struct BackwardConsumer {
  using S = BackwardShared<kHead>;
  static constexpr int kScores = kSide / 2;
  static constexpr int kOut = kHead / 2;
  // A step's last product runs beside the next one's first where there are registers for it.
  static constexpr bool kOverlap = kHead == 64 || !kKeysStand;
  S& s;
  const BackwardArguments& a;
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
  float row_lse[2];  // where queries stand
  float row_delta[2];

  __device__ __forceinline__ int own_row(int half) const {
    return group * kSide + warp * 16 + lane / 4 + half * 8;
  }

  // score = X1 Y1^T, or slope = X2 Y2^T
  __device__ __forceinline__ void multiply_rows(float (&to)[kScores], int buffer, int slot,
                                                int which) {
    const auto& left = s.standing[buffer][which][group];
    const auto& right = s.passing[slot][which];
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kHead; k += 16) {
      wgmma<0, 0>(to, descriptor(&left[k / kSide].element[k % kSide], 16, 8 * kRowBytes),
                  descriptor(&right[k / kSide].element[k % kSide], 16, 8 * kRowBytes),
                  k > 0 ? 1 : 0);
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
               descriptor(&right[0].element[k * kSide], kBlockBytes, 8 * kRowBytes));
    }
    wgmma_commit();
  }

  // Scores become p. On the diagonal what lies in the future is masked.
  template <bool kDiagonal>
  __device__ __forceinline__ void weigh(int slot, float scale) {
#pragma unroll
    for (int j = 0; j < kSide / 8; j++) {
      float2 lse;
      if constexpr (kKeysStand) lse = shared_get_2(&s.stat[slot][0][j * 8 + lane % 4 * 2]);
#pragma unroll
      for (int half = 0; half < 2; half++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          float& x = score[j * 4 + half * 2 + i];
          const float shift = kKeysStand ? (i == 0 ? lse.x : lse.y) : row_lse[half];
          x = exp2_fast(x * scale - shift);
          const int row = own_row(half) - group * kSide;
          const int column = j * 8 + lane % 4 * 2 + i;
          if (kDiagonal && (kKeysStand ? column < row : column > row)) x = 0.0f;
        }
      }
    }
  }

  // Slopes become ds.
  __device__ __forceinline__ void differentiate(int slot) {
#pragma unroll
    for (int j = 0; j < kSide / 8; j++) {
      float2 delta;
      if constexpr (kKeysStand) delta = shared_get_2(&s.stat[slot][1][j * 8 + lane % 4 * 2]);
#pragma unroll
      for (int half = 0; half < 2; half++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int n = j * 4 + half * 2 + i;
          const float d = kKeysStand ? (i == 0 ? delta.x : delta.y) : row_delta[half];
          slope[n] = score[n] * (slope[n] - d);
        }
      }
    }
  }

  __device__ __forceinline__ static void pack_all(uint32_t (&to)[kScores / 2],
                                                  const float (&from)[kScores]) {
#pragma unroll
    for (int i = 0; i < kScores / 2; i++) to[i] = pack(from[2 * i], from[2 * i + 1]);
  }

  __device__ __forceinline__ void release(int slot) const {
    if (lane == 0) arrive(&s.empty[slot]);
  }

  // After the last product has ended.
  __device__ __forceinline__ void settle() {
    if (owed >= 0) release(owed);
    owed = -1;
  }

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
      pack_all(weight, score);
      add_product(out2, weight, slot, 1);
      wgmma_wait<1>();
    } else {
      wgmma_wait<0>();
    }
    differentiate(slot);
    pack_all(change, slope);
    add_product(out1, change, slot, 0);
    owed = slot;
    if constexpr (!kOverlap) {
      wgmma_wait<0>();
      settle();
    }
    step++;
  }

  __device__ __forceinline__ void skip() {
    const int slot = step % S::kSlots;
    wait(&s.full[slot], step / S::kSlots & 1);
    warp_sync();  // no lane may see the next round's phase before it has seen this one's
    release(slot);
    step++;
  }

  __device__ __forceinline__ void store(const float (&from)[kOut], bf16* to, float factor,
                                        const BackwardTile& tile) const {
    const int t = lane % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = tile.row + own_row(half);
      const size_t place = (static_cast<size_t>(tile.batch) * a.length + row) * a.pitch +
                           static_cast<size_t>(tile.head) * kHead;
#pragma unroll
      for (int j = 0; j < kHead / 8; j += 4) {
        uint32_t v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int n = (j + i) * 4 + half * 2;
          v[i] = pack(from[n] * factor, from[n + 1] * factor);
        }
        transpose_4<1>(v, t);
        if (row < a.length) store_16(to + place + (j + t) * 8, v);
      }
    }
  }

  __device__ __forceinline__ void run() {
    const float scale = a.scale * 1.4426950408889634f;
    BackwardTile tile;
    int count = 0;
    for (int number = static_cast<int>(blockIdx.x); find_backward_tile<kKeysStand>(a, number, tile);
         number += static_cast<int>(gridDim.x), count++) {
      const int buffer = count % S::kBuffers;
      const bool valid = tile.row + group * kSide < a.length;
      if constexpr (!kKeysStand) {
        const size_t place = (static_cast<size_t>(tile.batch) * a.heads + tile.head) * a.padded;
        const size_t second = static_cast<size_t>(a.batch) * a.heads * a.padded;
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const int row = tile.row + own_row(half);
          row_lse[half] = valid ? a.stat[place + row] : 0.0f;
          row_delta[half] = valid ? a.stat[second + place + row] : 0.0f;
        }
      }
#pragma unroll
      for (int i = 0; i < kOut; i++) out1[i] = 0.0f;
      if constexpr (kKeysStand) {
#pragma unroll
        for (int i = 0; i < kOut; i++) out2[i] = 0.0f;
      }
      wait(&s.standing_full[buffer], count / S::kBuffers & 1);
      const int own = tile.row / kSide + group;  // the diagonal's block
      for (int h = 0; h < tile.heads; h++) {
        for (int i = 0; i < tile.steps; i++) {
          const int block = tile.first + i;
          if (valid && (kKeysStand ? block >= own : block <= own)) {
            advance(buffer, block == own, scale);
          } else {
            wgmma_wait<0>();
            settle();
            skip();
          }
        }
      }
      wgmma_wait<0>();
      settle();
      if (lane == 0) arrive(&s.standing_empty[buffer]);
      if constexpr (kKeysStand) {
        store(out1, a.dk, a.scale, tile);
        store(out2, a.dv, 1.0f, tile);
      } else {
        store(out1, a.dq, a.scale, tile);
      }
    }
  }
};

template <int kHead, bool kKeysStand>
__device__ __forceinline__ void flash_backward_body(BackwardShared<kHead>& s,
                                                    const BackwardArguments& a,
                                                    const BackwardMaps& maps) {
  constexpr int kWarps = kConsumers * kWarpgroup / kWarp;
  const int thread = static_cast<int>(threadIdx.x) % kWarpgroup;
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroup;
  if (threadIdx.x == 0) {
    for (int i = 0; i < BackwardShared<kHead>::kBuffers; i++) {
      barrier_init(&s.standing_full[i], 1);
      barrier_init(&s.standing_empty[i], kWarps);
    }
    for (int i = 0; i < BackwardShared<kHead>::kSlots; i++) {
      barrier_init(&s.full[i], 1);
      barrier_init(&s.empty[i], kWarps);
    }
    barrier_init_fence();
  }
  __syncthreads();
  if (warpgroup == 0) {
    registers_down<24>();
    if (thread == 0) produce_backward<kHead, kKeysStand>(s, a, maps);
  } else {
    registers_up<240>();
    BackwardConsumer<kHead, kKeysStand> consumer{s, a, warpgroup - 1, thread / kWarp,
                                                 thread % kWarp};
    consumer.run();
  }
}

}  // namespace remoe
