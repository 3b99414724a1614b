// Gradient of the token embedding: dtable[tokens[i]] += dy[i] in the order of i.
//
// Atomics would add in order of arrival. Instead the positions are sorted by token, so that each
// row of the table finds its own, ascending, and is written once.

#include "device/bf16.h"
#include "device/block_scan.h"
#include "model/sort_tokens.h"
#include "model/token_check.h"
#include "runtime/dtype.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

// The first of each row's positions among the sorted ones, then their end.
__global__ void __launch_bounds__(kThreads)
    find_rows_kernel(int32_t* row_start, const int32_t* tokens, int count, int vocabulary) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row > vocabulary) return;
  int low = 0;
  int high = count;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (tokens[middle] < row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  row_start[row] = low;
}

// Positions of a frequent token, whose row has warps of its own: one position is added after
// another, so that rows take as long as their positions are many.
constexpr int kFrequent = 128;

template <class T>
struct RowsArguments {
  float* dtable;
  const T* dy;
  const int32_t* row_start;
  const int32_t* tokens;  // sorted
  const int32_t* positions;
  int count;
  int vocabulary;
  int hidden;
  bool accumulate;
};

// Adds a row's positions to `sum`, in the lanes that have a column. Reading kBatch of them at once
// hides their latency. All lanes call it.
template <class T, int kWidth, int kBatch>
__device__ __forceinline__ void add_positions(const RowsArguments<T>& a, int begin, int end,
                                              int column, float (&sum)[kWidth]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int first = begin; first < end; first += kWarp) {
    const int own = first + lane < end ? a.positions[first + lane] : 0;
    const int left = end - first < kWarp ? end - first : kWarp;
    for (int batch = 0; batch < left; batch += kBatch) {
      Vector<T, kWidth> dy[kBatch];
#pragma unroll
      for (int j = 0; j < kBatch; j++) {
        const size_t position = __shfl_sync(kFullWarp, own, batch + j);
        if (batch + j >= left || column >= a.hidden) continue;
        dy[j] = load_vector<T, kWidth>(a.dy + position * a.hidden + column);
      }
#pragma unroll
      for (int j = 0; j < kBatch; j++) {
        if (batch + j >= left || column >= a.hidden) continue;
#pragma unroll
        for (int k = 0; k < kWidth; k++) sum[k] += to_float(dy[j].element[k]);
      }
    }
  }
}

// Writes, or adds to, 32 vectors of a row. All lanes of a warp call it.
template <class T, int kWidth, int kBatch>
__device__ __forceinline__ void add_row(const RowsArguments<T>& a, int row, int begin, int end,
                                        int column) {
  constexpr int kPart = kWidth < 4 ? kWidth : 4;
  const bool inside = column < a.hidden;
  float* to = a.dtable + static_cast<size_t>(row) * a.hidden + column;
  float sum[kWidth] = {};
#pragma unroll
  for (int k = 0; k < kWidth; k += kPart) {
    if (!a.accumulate || !inside) break;
    const auto before = load_vector<float, kPart>(to + k);
#pragma unroll
    for (int p = 0; p < kPart; p++) sum[k + p] = before.element[p];
  }
  add_positions<T, kWidth, kBatch>(a, begin, end, column, sum);
#pragma unroll
  for (int k = 0; k < kWidth; k += kPart) {
    Vector<float, kPart> after;
#pragma unroll
    for (int p = 0; p < kPart; p++) after.element[p] = sum[k + p];
    if (inside) store_vector(to + k, after);
  }
}

// Adjacent rows of a warp: most have no positions, and only wait for their bounds.
constexpr int kRows = 4;

// A warp takes 32 vectors of each of its rows.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 3) add_rows_kernel(RowsArguments<T> a, int slices) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const size_t warp = static_cast<size_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const size_t stride = static_cast<size_t>(gridDim.x) * kWarps;
  const size_t all = (static_cast<size_t>(a.vocabulary) + kRows - 1) / kRows * slices;
  for (size_t i = warp; i < all; i += stride) {
    const int64_t first = static_cast<int64_t>(i / slices) * kRows;
    const int column = (static_cast<int>(i % slices) * kWarp + lane) * kWidth;
    const int64_t own = first + (lane < kRows ? lane : kRows);
    const int start = a.row_start[own < a.vocabulary ? own : a.vocabulary];
#pragma unroll 1
    for (int r = 0; r < kRows && first + r < a.vocabulary; r++) {
      const int begin = __shfl_sync(kFullWarp, start, r);
      const int end = __shfl_sync(kFullWarp, start, r + 1);
      if (end - begin >= kFrequent || (a.accumulate && begin == end)) continue;
      add_row<T, kWidth, 4>(a, static_cast<int>(first) + r, begin, end, column);
    }
  }
}

// The rows of frequent tokens, 32 narrow vectors of one per warp, to read as many positions at once
// as a lane has registers. Each has a sorted position that is a multiple of kFrequent, and is found
// by the first.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 1)
    add_frequent_rows_kernel(RowsArguments<T> a, int slices) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const size_t warp = static_cast<size_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const size_t stride = static_cast<size_t>(gridDim.x) * kWarps;
  const size_t all = (static_cast<size_t>(a.count) + kFrequent - 1) / kFrequent * slices;
  for (size_t i = warp; i < all; i += stride) {
    const int place = static_cast<int>(i / slices) * kFrequent;
    const int row = a.tokens[place];
    if (row >= a.vocabulary) continue;
    const int begin = a.row_start[row];
    const int end = a.row_start[row + 1];
    if (end - begin < kFrequent || place - begin >= kFrequent) continue;
    const int column = (static_cast<int>(i % slices) * kWarp + lane) * kWidth;
    add_row<T, kWidth, kWarp>(a, row, begin, end, column);
  }
}

template <class T>
void add_frequent_rows(Operation& op, const RowsArguments<T>& a, bool wide) {
  constexpr int kNarrow = 4 / sizeof(T);
  const int width = wide ? kNarrow : 1;
  const int slices = (a.hidden + kWarp * width - 1) / (kWarp * width);
  const uint64_t places = (static_cast<uint64_t>(a.count) + kFrequent - 1) / kFrequent;
  const unsigned blocks = grid_blocks(places * slices, kWarps, 1 << 20);
  op.launch(wide ? add_frequent_rows_kernel<T, kNarrow> : add_frequent_rows_kernel<T, 1>,
            dim3(blocks), dim3(kThreads), 0, a, slices);
}

template <class T>
void add_rows(Operation& op, const RowsArguments<T>& a) {
  // Of the fp32 table 16 bytes: longer runs would have each of a warp's stores fill half sectors.
  constexpr int kWide = 4;
  const bool wide =
      a.hidden % kWide == 0 &&
      (reinterpret_cast<uint64_t>(a.dtable) | reinterpret_cast<uint64_t>(a.dy)) % 16 == 0;
  const int width = wide ? kWide : 1;
  const int slices = (a.hidden + kWarp * width - 1) / (kWarp * width);
  const uint64_t groups = (static_cast<uint64_t>(a.vocabulary) + kRows - 1) / kRows;
  const unsigned blocks = grid_blocks(groups * slices, kWarps, 1 << 20);
  op.launch(wide ? add_rows_kernel<T, kWide> : add_rows_kernel<T, 1>, dim3(blocks), dim3(kThreads),
            0, a, slices);
  if (a.count >= kFrequent) add_frequent_rows(op, a, wide);
}

}  // namespace
}  // namespace remoe

int32_t remoe_embedding_gradient(uint64_t context, int32_t dtype, uint64_t dtable, uint64_t dy,
                                 uint64_t tokens, int32_t count, int32_t hidden, int32_t vocabulary,
                                 int32_t accumulate) {
  using namespace remoe;
  return guard(context, "embedding_gradient", [&](Operation& op) {
    require_size(count, "count");
    require_size(hidden, "hidden");
    require_size(vocabulary, "vocabulary");
    require_float(dtype);
    auto* target = require_address<float>(dtable, "dtable");
    require_elements(dy, dtype, "dy");
    const auto* ids = require_address<const int32_t>(tokens, "tokens");

    const size_t n = static_cast<size_t>(count);
    const Scratch<int32_t> sorted(op, 2 * n);
    const Scratch<int32_t> other(op, 2 * n);
    const Scratch<uint32_t> counts(op, static_cast<size_t>(sort_tiles(count)) * 256);
    const Scratch<int32_t> row_start(op, static_cast<size_t>(vocabulary) + 1);
    const SortedTokens by_token = {sorted.data(), sorted.data() + n};
    sort_tokens(op, by_token, {{other.data(), other.data() + n}, counts.data()}, ids, count,
                vocabulary, op.index_check(fail_at_token, vocabulary));
    op.launch(find_rows_kernel, dim3(vocabulary / kThreads + 1), dim3(kThreads), 0,
              row_start.data(), by_token.tokens, count, vocabulary);
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      add_rows<T>(op, {.dtable = target,
                       .dy = reinterpret_cast<const T*>(dy),
                       .row_start = row_start.data(),
                       .tokens = by_token.tokens,
                       .positions = by_token.positions,
                       .count = count,
                       .vocabulary = vocabulary,
                       .hidden = hidden,
                       .accumulate = accumulate != 0});
    });
  });
}
