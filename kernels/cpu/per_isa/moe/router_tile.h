// Shared by the routers: logits by tiles of tokens, and statistics whose order does not depend on
// the threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "per_isa/simd/vector_math.h"
#include "runtime/activations.h"
#include "runtime/gemm.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {

// Tokens per task. Its logits stay in cache for the pass that turns them into gates, and 4096
// tokens still make 32 tasks.
inline constexpr int kRouterTile = 128;

// Counts and fp32 sums per expert: one pair of rows per tile, added up in tile order.
class RouterStatistics {
 public:
  RouterStatistics(Context& context, int tokens, int experts)
      : tiles_((tokens + kRouterTile - 1) / kRouterTile),
        experts_(experts),
        counts_(context, static_cast<std::size_t>(tiles_) * experts),
        sums_(context, static_cast<std::size_t>(tiles_) * experts) {}

  int tiles() const { return tiles_; }
  // The row of a tile, zeroed.
  int32_t* counts(int64_t tile) {
    int32_t* row = counts_.data() + tile * experts_;
    std::memset(row, 0, sizeof(int32_t) * experts_);
    return row;
  }
  float* sums(int64_t tile) {
    float* row = sums_.data() + tile * experts_;
    std::memset(row, 0, sizeof(float) * experts_);
    return row;
  }
  // Each tile sums at most kRouterTile values; summing tiles in fp64 keeps the error at that of one
  // tile.
  void reduce(int32_t* counts, float* sums) {
    for (int e = 0; e < experts_; ++e) {
      int32_t count = 0;
      double sum = 0;
      for (int64_t tile = 0; tile < tiles_; ++tile) {
        count += counts_[tile * experts_ + e];
        sum += sums_[tile * experts_ + e];
      }
      counts[e] = count;
      sums[e] = static_cast<float>(sum);
    }
  }

 private:
  int tiles_;
  int experts_;
  Scratch<int32_t> counts_;
  Scratch<float> sums_;
};

// The rows of x that a tile multiplies, in fp32: bf16 is widened into a thread's scratch, where the
// product reads it from cache.
class TileRows {
 public:
  TileRows(Context& context, Activations x, int hidden)
      : x_(x),
        hidden_(hidden),
        scratch_(context, x.dtype == REMOE_F32 ? 0 : context.threads * size()) {}

  const float* at(int begin, int end, int thread) {
    const int64_t first = int64_t{begin} * hidden_, count = int64_t{end - begin} * hidden_;
    if (x_.dtype == REMOE_F32) return static_cast<const float*>(x_.data) + first;
    const Bf16* from = static_cast<const Bf16*>(x_.data) + first;
    float* rows = scratch_.data() + thread * size();
    convert_run(rows, from, count);
    return rows;
  }

 private:
  int64_t size() const { return int64_t{kRouterTile} * hidden_; }

  Activations x_;
  int hidden_;
  Scratch<float> scratch_;
};

// Calls body(begin, end, tile) for each tile of tokens [begin, end) once its rows of logits = x w
// [T,E] have been written, so while they are in cache.
template <class Body>
void for_each_logit_tile(Context& context, float* logits, Activations x, const float* w, int tokens,
                         int hidden, int experts, Body&& body) {
  Scratch<float> packed(context, packed_size(context, hidden, experts));
  pack(context, hidden, experts, {w, experts}, packed.data());
  TileRows rows(context, x, hidden);
  const int64_t tiles = (tokens + kRouterTile - 1) / kRouterTile;
  parallel_tasks(context, tiles, [&](int64_t tile, int thread) {
    const int begin = static_cast<int>(tile) * kRouterTile;
    const int end = std::min(tokens, begin + kRouterTile);
    float* out = logits + static_cast<int64_t>(begin) * experts;
    gemm_packed(context, end - begin, experts, hidden, 1.0f, {rows.at(begin, end, thread), hidden},
                packed.data(), 0.0f, out, experts);
    body(begin, end, tile);
  });
}

}  // namespace remoe::REMOE_TARGET
