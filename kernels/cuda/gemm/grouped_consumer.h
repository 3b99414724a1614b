// The warpgroups that multiply, each 64 of a tile's 128 rows, and give the results away.
//
// A finished tile leaves through the ring. Behind the steps of its depth the producer hands over
// stages for the epilogue's chunks, empty or with what the epilogue reads; a warp writes its 16
// rows of a chunk there and the bulk tensor copy carries them away, while the warp goes on. The
// stage is freed when the copy has read it.
#pragma once

#include "gemm/grouped_stages.h"

namespace remoe::grouped {

constexpr int kAccumulators = kTileColumns / 2;  // a thread's

// One stage's product for 64 rows of A.
template <class P>
__device__ __forceinline__ void multiply(float (&sum)[kAccumulators], Stage& stage, int group) {
  constexpr bool kTransposedA = P::kGroupedDepth;
  constexpr uint32_t kGroup = 8 * kRowBytes;  // eight rows: the swizzle's period
  const Block* a = stage.a() + group;
  const Block* b = stage.b();
  wgmma_fence();
#pragma unroll
  for (int k = 0; k < kDepth; k += 16) {
    const uint64_t left = kTransposedA ? descriptor(&a->element[k * kSide], kBlockBytes, kGroup)
                                       : descriptor(&a->element[k], 16, kGroup);
    const uint64_t right = P::kTransposedB
                               ? descriptor(&b->element[k], 16, kGroup)
                               : descriptor(&b->element[k * kSide], kBlockBytes, kGroup);
    wgmma<kTransposedA ? 1 : 0, P::kTransposedB ? 0 : 1>(sum, left, right);
  }
  wgmma_commit();
}

// A warp's part of the ring. Its lane 0 frees stages, and issues the stores: their groups are its.
struct Consumer {
  Shared& s;
  int group;
  int warp;  // of the warpgroup
  int lane;
  int step = 0;
  int owed = -1;  // the slot of a chunk whose stores may still read it

  __device__ __forceinline__ void release(int slot) const {
    if (lane == 0) arrive(&s.empty[slot]);
  }

  template <int kPending>
  __device__ __forceinline__ void settle() {
    if (owed < 0) return;
    __syncwarp();  // all lanes are through with it
    if (lane == 0) wait_stores_read<kPending>();
    release(owed);
    owed = -1;
  }

  // Waits for stages without a use for them.
  __device__ __forceinline__ void skip(int steps) {
    settle<0>();
    for (int i = 0; i < steps; i++, step++) {
      const Place at = place_of(step);
      wait(&s.full[at.slot], at.phase);
      __syncwarp();  // no lane may see the next round's phase before it has seen this one's
      release(at.slot);
    }
  }

  template <class P>
  __device__ __forceinline__ void multiply_tile(float (&sum)[kAccumulators], const Tile& tile) {
#pragma unroll
    for (int i = 0; i < kAccumulators; i++) sum[i] = 0.0f;
    for (int k = 0; k < tile.depth; k += kDepth, step++) {
      const Place at = place_of(step);
      wait(&s.full[at.slot], at.phase);
      if (P::kGatherA || P::kGatherB) proxy_fence();
      multiply<P>(sum, s.stage[at.slot], group);
      if (k == 0) {
        settle<0>();
      } else {
        wgmma_wait<1>();
        release(place_of(step - 1).slot);
      }
    }
    wgmma_wait<0>();
    if (tile.depth > 0) release(place_of(step - 1).slot);
    settle<0>();
  }

  template <class P>
  __device__ __forceinline__ void run(const Arguments& a, const Maps& maps) {
    using E = typename P::Epilogue;
    Tile tile;
    BlockTiles<P> tiles{s.schedule, a};
    while (tiles.next(tile)) {
      if (group * kSide >= tile.rows) {
        skip(divide_up(tile.depth, kDepth) + E::kChunks);
        continue;
      }
      E epilogue;
      epilogue.begin(a, tile, group, warp, lane);
      float sum[kAccumulators];
      multiply_tile<P>(sum, tile);
#pragma unroll
      for (int chunk = 0; chunk < E::kChunks; chunk++, step++) {
        const Place at = place_of(step);
        wait(&s.full[at.slot], at.phase);
        epilogue.put(s.stage[at.slot].chunk(group), a, sum, chunk);
        proxy_fence();
        __syncwarp();
        epilogue.send(s.stage[at.slot].chunk(group), a, maps, tile, chunk);
        settle<1>();
        owed = at.slot;
      }
      epilogue.end(a, tile);
    }
    settle<0>();
  }
};

}  // namespace remoe::grouped
