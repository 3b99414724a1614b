// Grouped products of an expert layer on Hopper's tensor cores.
//
// A block of three warpgroups: one fills a ring of stages, two multiply, each 64 of the tile's 128
// rows. Weights and contiguous rows come by the bulk tensor copy (TMA), gathered rows by 16-byte
// copies; both count on the stage's `full` barrier, so that no thread waits for data it does not
// use. Everything in shared memory is made of blocks of 64 rows of 128 bytes in the 128-byte
// swizzle:
//
//   operand's inner dimension   a block's rows   its columns
//   depth (K-major)             rows of A, or    depth
//                               columns of B
//   rows or columns (MN-major)  depth            rows of A, or columns of B
//
// so one box of 64 x 64 serves every tensor map, and weights are used as they lie, [expert, in,
// out], for the forward product (MN-major) and for its transpose (K-major).
//
// A finished tile leaves through the same ring. Behind the steps of its depth the producer hands
// over stages for the epilogue's chunks, empty or with what the epilogue reads; a warp writes its
// 16 rows of a chunk there and the bulk tensor copy carries them away, while the warp goes on. The
// stage is freed when the copy has read it.
//
// Either the rows are grouped (an expert's rows, all of the depth) or the depth is (the weights'
// gradients: all rows and columns of the matrix, an expert's rows as the depth). Nothing is
// padded in memory: rows beyond the expert's end are not stored, and where the depth ends within
// a stage both operands come by 16-byte copies with zeros behind the end, since zeros in one alone
// would not cancel a NaN in the other.
#pragma once

#include "hopper.h"

namespace remoe {

using namespace hopper;

constexpr int kSide = 64;             // of a block
constexpr int kRowBytes = 2 * kSide;  // of a block's row: the width of the swizzle
constexpr int kTileRows = 128;
constexpr int kTileColumns = 256;
constexpr int kDepth = 64;
constexpr int kStages = 4;
constexpr int kConsumers = 2;
constexpr int kThreads = (1 + kConsumers) * kWarpgroup;
constexpr int kBand = 16;  // rows of tiles that pass over all columns together, for L2
constexpr int kMaxExperts = 256;
constexpr int kAccumulators = kTileColumns / 2;  // a thread's
constexpr int kWarpRows = 16;                    // a warp's of its warpgroup's 64

struct Block {
  bf16 element[kSide * kSide];
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

struct Schedule {
  int32_t first[kMaxExperts + 1];   // tile of each expert
  int32_t offset[kMaxExperts + 1];  // row of each expert
};

struct Shared {
  Stage stage[kStages];
  Barrier full[kStages];
  Barrier empty[kStages];
  Schedule schedule;
};

struct Arguments {
  const int32_t* plan;           // the header: [1] is not 0 after an overflow
  const int32_t* expert_offset;  // [experts + 1]
  const int32_t* row_token;
  int experts;
  int rows;     // of the product where the depth is grouped
  int columns;  // of the product; of a half where they are paired
  int depth;    // where the rows are grouped
  const bf16* a;
  const bf16* b;  // rows, where the depth is grouped
  int a_stride;   // of gathered rows of A
  void* out;
  void* out2;
  const float* row_gate;  // [rows]
  float* partial;         // [rows, column tiles]
  int accumulate;
  int skew;  // steps by which the second consumer starts later
};

struct Maps {
  TensorMap a;
  TensorMap b;
  TensorMap h;
  TensorMap out;
  TensorMap out2;
};

struct Tile {
  int expert;
  int row;     // first row, in memory
  int rows;    // valid rows from there, not above kTileRows
  int column;  // first column
  int start;   // of the depth
  int depth;
};

__host__ __device__ __forceinline__ int divide_up(int a, int b) { return (a + b - 1) / b; }

// The place of 16-byte chunk `chunk` of row `row` in a block, in elements.
__host__ __device__ __forceinline__ int swizzled(int row, int chunk) {
  return row * kSide + ((chunk ^ (row & 7)) * 8);
}

// ---- which tile is whose

// P names a product: kGatherA, kGatherB, kGroupedDepth, kTransposedB, kPaired, Epilogue.
template <class P>
__host__ __device__ __forceinline__ int column_step() {
  return P::kPaired ? kTileColumns / 2 : kTileColumns;
}

template <class P>
__host__ __device__ __forceinline__ int row_tiles(const Arguments& a, int expert_rows) {
  return divide_up(P::kGroupedDepth ? a.rows : expert_rows, kTileRows);
}

// By one warp; a barrier has to follow.
template <class P>
__device__ void fill_schedule(Schedule& s, const Arguments& a, int lane) {
  const int columns = divide_up(a.columns, column_step<P>());
  int carry = 0;
  for (int base = 0; base < a.experts; base += kWarp) {
    const int e = base + lane;
    int tiles = 0;
    if (e < a.experts) {
      s.offset[e] = a.expert_offset[e];
      const int rows = a.expert_offset[e + 1] - a.expert_offset[e];
      // Nothing is added to the gradient of an expert without rows.
      const bool idle = P::kGroupedDepth && a.accumulate && rows == 0;
      tiles = idle ? 0 : row_tiles<P>(a, rows) * columns;
    }
#pragma unroll
    for (int d = 1; d < kWarp; d *= 2) {
      const int below = shuffle_up(tiles, d);
      if (lane >= d) tiles += below;
    }
    if (e < a.experts) s.first[e + 1] = carry + tiles;
    carry += shuffle(tiles, kWarp - 1);
  }
  if (lane == 0) {
    s.first[0] = 0;
    s.offset[a.experts] = a.expert_offset[a.experts];
  }
}

// The expert of a tile, by bisection: first[e] <= number < first[e + 1].
__host__ __device__ __forceinline__ int find_expert(const Schedule& s, int experts, int number) {
  int low = 0;
  int high = experts;
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

template <class P>
__host__ __device__ __forceinline__ bool find_tile(const Schedule& s, const Arguments& a,
                                                   int number, Tile& tile) {
  if (number >= s.first[a.experts]) return false;
  const int expert = find_expert(s, a.experts, number);
  const int begin = s.offset[expert];
  const int expert_rows = s.offset[expert + 1] - begin;
  const int columns = divide_up(a.columns, column_step<P>());
  const int n = number - s.first[expert];
  const int band = n / (kBand * columns);
  const int within = n % (kBand * columns);
  const int left = row_tiles<P>(a, expert_rows) - band * kBand;
  const int height = left < kBand ? left : kBand;
  const int row = (band * kBand + within % height) * kTileRows;
  const int valid = (P::kGroupedDepth ? a.rows : expert_rows) - row;
  tile.expert = expert;
  tile.row = P::kGroupedDepth ? row : begin + row;
  tile.rows = valid < kTileRows ? valid : kTileRows;
  tile.column = within / height * column_step<P>();
  tile.start = P::kGroupedDepth ? begin : 0;
  tile.depth = P::kGroupedDepth ? expert_rows : a.depth;
  return true;
}

// ---- the producer

// A thread copies chunk `chunk` of rows `row + 16 q` of every block.
struct Lane16 {
  int row;
  int chunk;
};
__device__ __forceinline__ Lane16 lane16(int thread) { return {thread / 8, thread % 8}; }
constexpr int kPasses = kSide / (kWarpgroup / 8);

// Gathered rows of A, K-major: the rows stay the same over the depth.
struct GatheredRows {
  const bf16* row[kBlocksA * kPasses];

  __device__ __forceinline__ void begin(const Arguments& a, const Tile& tile, Lane16 lane) {
#pragma unroll
    for (int q = 0; q < kBlocksA * kPasses; q++) {
      const int r = lane.row + q * (kSide / kPasses);
      row[q] = r < tile.rows ? a.a + static_cast<size_t>(a.row_token[tile.row + r]) * a.a_stride
                             : nullptr;
    }
  }

  __device__ __forceinline__ void copy(Block* to, const Arguments& a, const Tile& tile, int k,
                                       Lane16 lane) const {
    const int column = k + lane.chunk * 8;
#pragma unroll
    for (int q = 0; q < kBlocksA * kPasses; q++) {
      const int r = lane.row + q % kPasses * (kSide / kPasses);
      const bool inside = row[q] != nullptr && column < tile.depth;
      copy_16(&to[q / kPasses].element[swizzled(r, lane.chunk)], inside ? row[q] + column : a.a,
              inside);
    }
  }
};

// The rows in memory of one step of a grouped depth, or -1 behind its end. Tokens of gathered rows
// are read one step ahead.
struct DepthRows {
  int row[kPasses];

  __device__ __forceinline__ void count(const Tile& tile, int k, Lane16 lane) {
#pragma unroll
    for (int q = 0; q < kPasses; q++) {
      const int r = k + lane.row + q * (kSide / kPasses);
      row[q] = r < tile.depth ? tile.start + r : -1;
    }
  }

  __device__ __forceinline__ void gather(const Arguments& a, const Tile& tile, int k, Lane16 lane) {
    count(tile, k, lane);
#pragma unroll
    for (int q = 0; q < kPasses; q++) {
      if (row[q] >= 0) row[q] = a.row_token[row[q]];
    }
  }

  // Columns `column` and on of a matrix with `columns` of them, MN-major.
  template <int kBlocks>
  __device__ __forceinline__ void copy(Block* to, const bf16* matrix, int columns, int column,
                                       Lane16 lane) const {
#pragma unroll
    for (int q = 0; q < kPasses; q++) {
      const int place = swizzled(lane.row + q * (kSide / kPasses), lane.chunk);
      const bf16* from = matrix + (row[q] < 0 ? 0 : static_cast<size_t>(row[q]) * columns);
#pragma unroll
      for (int b = 0; b < kBlocks; b++) {
        const int c = column + b * kSide + lane.chunk * 8;
        const bool inside = row[q] >= 0 && c < columns;
        copy_16(&to[b].element[place], inside ? from + c : matrix, inside);
      }
    }
  }
};

template <class P>
__device__ __forceinline__ void copy_a(Block* to, Barrier* full, const Maps& maps, const Tile& tile,
                                       int k) {
#pragma unroll
  for (int b = 0; b < kBlocksA; b++) {
    const int row = tile.row + b * kSide;
    if (P::kGroupedDepth) {
      copy_box(&to[b], maps.a, row, tile.start + k, 0, full);
    } else {
      copy_box(&to[b], maps.a, k, row, 0, full);
    }
  }
}

template <class P>
__device__ __forceinline__ void copy_b(Block* to, Barrier* full, const Arguments& a,
                                       const Maps& maps, const Tile& tile, int k) {
#pragma unroll
  for (int b = 0; b < kBlocksB; b++) {
    const int column =
        P::kPaired ? b / 2 * a.columns + tile.column + b % 2 * kSide : tile.column + b * kSide;
    const int depth = tile.start + k;
    const int x = P::kTransposedB ? depth : column;
    const int y = P::kTransposedB ? column : depth;
    copy_box(&to[b], maps.b, x, y, P::kGroupedDepth ? 0 : tile.expert, full);
  }
}

// Where the ring stands: the slot and the barriers' phase of a step.
struct Place {
  int slot;
  uint32_t phase;
};
__device__ __forceinline__ Place place_of(int step) {
  return {step % kStages, static_cast<uint32_t>(step / kStages & 1)};
}

template <class P>
__device__ __forceinline__ void produce(Shared& s, const Arguments& a, const Maps& maps,
                                        int thread) {
  using E = typename P::Epilogue;
  constexpr bool kGather = P::kGatherA || P::kGatherB;
  static_assert(kGather || !P::kGroupedDepth, "a ragged depth takes all threads");
  if (!kGather && thread != 0) return;
  constexpr int kBytes =
      ((P::kGatherA ? 0 : kBlocksA) + (P::kGatherB ? 0 : kBlocksB)) * kBlockBytes;
  const Lane16 lane = lane16(thread);
  GatheredRows gathered;
  DepthRows ahead;
  int step = 0;
  Tile tile;
  for (int number = static_cast<int>(blockIdx.x); find_tile<P>(s.schedule, a, number, tile);
       number += static_cast<int>(gridDim.x)) {
    if constexpr (P::kGroupedDepth) {
      ahead.gather(a, tile, 0, lane);
    } else if constexpr (P::kGatherA) {
      gathered.begin(a, tile, lane);
    }
    for (int k = 0; k < tile.depth; k += kDepth, step++) {
      const Place at = place_of(step);
      Stage& stage = s.stage[at.slot];
      Barrier* full = &s.full[at.slot];
      const bool ragged = P::kGroupedDepth && tile.depth - k < kDepth;
      wait(&s.empty[at.slot], at.phase ^ 1);
      if (thread == 0) {
        if (ragged) {
          arrive(full);
        } else {
          arrive_expect(full, kBytes);
          if constexpr (!P::kGatherA) copy_a<P>(stage.a(), full, maps, tile, k);
          if constexpr (!P::kGatherB) copy_b<P>(stage.b(), full, a, maps, tile, k);
        }
      }
      if constexpr (P::kGroupedDepth) {
        DepthRows rows;
        if (ragged) rows.count(tile, k, lane);
        if (P::kGatherA) {
          ahead.copy<kBlocksA>(stage.a(), a.a, a.rows, tile.row, lane);
        } else if (ragged) {
          rows.copy<kBlocksA>(stage.a(), a.a, a.rows, tile.row, lane);
        }
        if (P::kGatherB) {
          ahead.copy<kBlocksB>(stage.b(), a.b, a.columns, tile.column, lane);
        } else if (ragged) {
          rows.copy<kBlocksB>(stage.b(), a.b, a.columns, tile.column, lane);
        }
        ahead.gather(a, tile, k + kDepth, lane);
      } else if constexpr (P::kGatherA) {
        gathered.copy(stage.a(), a, tile, k, lane);
      }
      if constexpr (kGather) arrive_copies(full);
    }
    for (int chunk = 0; chunk < E::kChunks; chunk++, step++) {
      const Place at = place_of(step);
      Barrier* full = &s.full[at.slot];
      wait(&s.empty[at.slot], at.phase ^ 1);
      if (thread == 0) {
        arrive_expect(full, E::kLoadBytes);
        E::load(s.stage[at.slot], full, maps, tile, chunk);
      }
      if constexpr (kGather) arrive(full);
    }
  }
  if constexpr (kGather) wait_copies();
}

// ---- the consumers

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
    wgmma_n256<kTransposedA ? 1 : 0, P::kTransposedB ? 0 : 1>(sum, left, right);
  }
  wgmma_commit();
}

// With a skew the second consumer begins some steps after the first: then one stores while the
// other multiplies.
constexpr int kSkewBarrier = 1;

// A warp's part of the ring. Its lane 0 frees stages, and issues the stores: their groups are its.
struct Consumer {
  Shared& s;
  int group;
  int warp;  // of the warpgroup
  int lane;
  int step = 0;
  int owed = -1;  // the slot of a chunk whose stores may still read it
  int lead = 0;   // steps before the second consumer begins

  __device__ __forceinline__ void begin_second(int steps) {
    if (lead == 0 || steps < lead) return;
    named_barrier_arrive(kSkewBarrier, kConsumers * kWarpgroup);
    lead = 0;
  }

  __device__ __forceinline__ void release(int slot) const {
    if (lane == 0) arrive(&s.empty[slot]);
  }

  template <int kPending>
  __device__ __forceinline__ void settle() {
    if (owed < 0) return;
    warp_sync();  // all lanes are through with it
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
      warp_sync();  // no lane may see the next round's phase before it has seen this one's
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
      begin_second(step + 1);
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
    if (group == 0) lead = a.skew;
    if (a.skew > 0 && group == 1) named_barrier_sync(kSkewBarrier, kConsumers * kWarpgroup);
    Tile tile;
    for (int number = static_cast<int>(blockIdx.x); find_tile<P>(s.schedule, a, number, tile);
         number += static_cast<int>(gridDim.x)) {
      if (group * kSide >= tile.rows) {
        skip(divide_up(tile.depth, kDepth) + E::kChunks);
        continue;
      }
      E epilogue;
      epilogue.begin(a, tile, group, warp, lane);
      float sum[kAccumulators];
      multiply_tile<P>(sum, tile);
      begin_second(lead);
#pragma unroll
      for (int chunk = 0; chunk < E::kChunks; chunk++, step++) {
        const Place at = place_of(step);
        wait(&s.full[at.slot], at.phase);
        epilogue.put(s.stage[at.slot].chunk(group), sum, chunk);
        proxy_fence();
        warp_sync();
        epilogue.send(s.stage[at.slot].chunk(group), a, maps, tile, chunk);
        settle<1>();
        owed = at.slot;
      }
      epilogue.end(a, tile);
    }
    begin_second(lead);
    settle<0>();
  }
};

// ---- the kernel

template <class P>
__device__ __forceinline__ void init_barriers(Shared& s) {
  for (int i = 0; i < kStages; i++) {
    barrier_init(&s.full[i], P::kGatherA || P::kGatherB ? kWarpgroup + 1 : 1);
    barrier_init(&s.empty[i], kConsumers * kWarpgroup / kWarp);
  }
  barrier_init_fence();
}

template <class P>
__device__ __forceinline__ void grouped_product_body(Shared& s, const Arguments& a,
                                                     const Maps& maps) {
  const int thread = static_cast<int>(threadIdx.x) % kWarpgroup;
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroup;
  if (a.plan[1] != 0) return;  // overflow: for all blocks alike
  if (threadIdx.x < kWarp) fill_schedule<P>(s.schedule, a, thread);
  if (threadIdx.x == kWarp) {
    init_barriers<P>(s);
    if (!P::kGatherA) prefetch_map(maps.a);
    if (!P::kGatherB) prefetch_map(maps.b);
    P::Epilogue::prefetch(maps);
  }
  __syncthreads();
  if (warpgroup == 0) {
    registers_down<40>();
    produce<P>(s, a, maps, thread);
  } else {
    registers_up<232>();
    Consumer consumer{s, warpgroup - 1, thread / kWarp, thread % kWarp};
    consumer.template run<P>(a, maps);
  }
}

}  // namespace remoe
