// Cross entropy fused with the output head.
//
// For a row x of X and its target t, the loss is log sum_v exp(z_v) - z_t with z = x W. Logits are
// computed in chunks of the vocabulary, and within a chunk in tiles of rows, so that [T,V] need not
// be materialised:
//
//   forward    keeps a running maximum m and s = sum exp(z - m) per row; a larger maximum m' in a
//              later chunk rescales s by exp(m - m'). The loss is log s + (m - z_t): in fp32, the
//              sum m + log s would lose the digits of log s when logits are large.
//   gradient   dz_v = (exp(z_v - m) / s - [v = t]) / count, from logits kept or recomputed. A
//              chunk of dz gives its part of dX = dz W^T, and all of its columns of dW = X^T dz.
//
// One pass over all rows per chunk keeps the packed chunk of W in cache. The order of every sum is
// independent of the threads.
//
// In bf16, x, W, kept logits and dz are bf16: logits are computed in an fp32 tile, and rounded when
// they are kept or have become dz; dX is summed over the chunks in fp32.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "per_isa/kernel.h"
#include "runtime/gemm.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {

// Columns per chunk: the logits of a tile, 126 x 2048 floats, take half of an L2 of 2 MiB.
inline constexpr int kChunkColumns = 2048;
// Rows per tile: a multiple of the rows of a register tile, 14 or 6.
inline constexpr int kTileTokens = 126;
// Whether logits are computed where they are kept, or where dz lies: fp32 needs no rounding.
template <class T>
inline constexpr bool kInPlace = std::is_same_v<T, float>;

// Columns [begin, end) of W.
struct Chunk {
  int begin;
  int end;
  int columns() const { return end - begin; }
};

// The vocabulary split into even chunks of at most `largest` columns.
class Chunks {
 public:
  Chunks(const Context& context, int vocabulary, int64_t largest) : vocabulary_(vocabulary) {
    const int panel = packed_columns(context);
    const int64_t most = std::clamp<int64_t>(largest / panel * panel, panel, kChunkColumns);
    count_ = static_cast<int>((vocabulary + most - 1) / most);
    columns_ = ((int64_t{vocabulary} + count_ - 1) / count_ + panel - 1) / panel * panel;
  }
  int count() const { return count_; }
  int columns() const { return begin(1); }
  Chunk operator[](int i) const { return {begin(i), begin(i + int64_t{1})}; }

 private:
  int begin(int64_t i) const {
    return static_cast<int>(std::min<int64_t>(vocabulary_, i * columns_));
  }

  int vocabulary_;
  int count_;
  int64_t columns_;
};

// Packs op(B) [k,n] on all threads.
template <class T>
void pack_on_all_threads(Context& context, int k, int n, const OperandOf<T>& b, Lane<T>* packed) {
  const int columns = 8 * packed_columns(context);
  parallel_tasks(context, (n + columns - 1) / columns, [&](int64_t task, int) {
    const int begin = static_cast<int>(task) * columns;
    pack(context, k, n, b, packed, begin, std::min(n, begin + columns));
  });
}

// Calls body(begin, end, thread) for each tile of tokens.
template <class Body>
void for_each_tile(Context& context, int tokens, Body&& body) {
  const int64_t tiles = (int64_t{tokens} + kTileTokens - 1) / kTileTokens;
  parallel_tasks(context, tiles, [&](int64_t tile, int thread) {
    const int64_t begin = tile * kTileTokens;
    body(begin, std::min<int64_t>(tokens, begin + kTileTokens), thread);
  });
}

// Logits of one tile of rows and one chunk, in fp32.
struct LogitTile {
  float* data;
  int64_t stride;
  float* row(int64_t r) const { return data + r * stride; }
};

}  // namespace remoe::REMOE_TARGET
