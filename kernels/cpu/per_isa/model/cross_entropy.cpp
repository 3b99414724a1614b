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
#include <algorithm>
#include <cmath>
#include <limits>

#include "per_isa/kernel.h"
#include "per_isa/scratch_bytes.h"
#include "per_isa/simd/elements.h"
#include "per_isa/simd/vector_math.h"
#include "runtime/dtype.h"
#include "runtime/gemm.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// Columns per chunk: the logits of a tile, 126 x 2048 floats, take half of an L2 of 2 MiB.
constexpr int kChunkColumns = 2048;
// Rows per tile: a multiple of the rows of a register tile, 14 or 6.
constexpr int kTileTokens = 126;
// Elements of dz that the gradient holds per chunk: 32 MiB in fp32.
constexpr int64_t kGradientElements = int64_t{8} << 20;
// Elements between two rows of dz. Never a multiple of 4 KiB, at which rows would share one L1 set
// and evict each other while both products with dz pack it. The head of 182m, 25 chunks of 2048
// columns, takes 27 % less time this way.
int row_stride(int columns) { return columns + (columns % 1024 == 0 ? 16 : 0); }

// Whether logits are computed where they are kept, or where dz lies: fp32 needs no rounding.
template <class T>
inline constexpr bool kInPlace = std::is_same_v<T, float>;

// The narrowest block of columns of dW worth a task.
constexpr int kPartColumns = 128;

// Bits of `accumulate`.
enum : int { kDx = 1, kDw = 2 };

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

float row_maximum(const float* z, int n) {
  Vec largest = broadcast(-std::numeric_limits<float>::infinity());
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) largest = maximum(largest, load(z + i));
  float result = maximum(largest);
  for (; i < n; ++i) result = std::max(result, z[i]);
  return result;
}

float sum_of_exponentials(const float* z, int n, float shift) {
  Vec total = {};
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) total += exponential(load(z + i) - shift);
  float result = sum(total);
  for (; i < n; ++i) result += exponential(z[i] - shift);
  return result;
}

// Per row: the maximum and sum so far, and the logit of its target once seen.
struct Running {
  float* largest;
  float* total;
  float* target_logit;

  void add(int64_t t, const float* z, Chunk chunk, int32_t target) const {
    const float before = largest[t];
    const float now = std::max(before, row_maximum(z, chunk.columns()));
    if (target >= chunk.begin && target < chunk.end) target_logit[t] = z[target - chunk.begin];
    // If all logits so far are -infinity, the difference of two of them would be NaN.
    const float shift = now == -std::numeric_limits<float>::infinity() ? 0.0f : now;
    total[t] =
        total[t] * exponential(before - shift) + sum_of_exponentials(z, chunk.columns(), shift);
    largest[t] = now;
  }
};

// Turns the logits of one row, with known `largest` and `total`, into scale * (softmax - one-hot).
void row_gradient(float* z, Chunk chunk, float largest, float total, int32_t target, float scale) {
  if (target < 0) {
    std::fill(z, z + chunk.columns(), 0.0f);
    return;
  }
  const float factor = scale / total;
  map(z, z, chunk.columns(), [=](Vec v) { return exponential(v - largest) * factor; });
  if (target >= chunk.begin && target < chunk.end) z[target - chunk.begin] -= scale;
}

// How the gradient splits the vocabulary, and what it takes from the pool for a chunk.
template <class T>
struct GradientChunks {
  Chunks chunks;
  int64_t dz = 0;      // unless logits were kept: elements of a chunk of dz,
  int64_t packed = 0;  // and lanes of W packed to compute it
  int64_t transposed;  // lanes of W packed for dX
  int64_t tile = 0;    // unless dz is computed in place: floats of a thread's tile of logits,
  int64_t sums = 0;    // and of dX summed over the chunks

  GradientChunks(const Context& context, int tokens, int hidden, int vocabulary, bool kept)
      : chunks(context, vocabulary, kept ? kChunkColumns : kGradientElements / tokens),
        transposed(packed_size<T>(context, chunks.columns(), hidden)) {
    if (!kInPlace<T>) {
      tile = int64_t{kTileTokens} * chunks.columns();
      sums = int64_t{tokens} * hidden;
    }
    if (kept) return;
    dz = int64_t{tokens} * row_stride(chunks.columns());
    packed = packed_size<T>(context, hidden, chunks.columns());
  }

  double bytes(const Context& context) const {
    return sizeof(T) * static_cast<double>(dz) +
           sizeof(Lane<T>) * static_cast<double>(packed + transposed) +
           sizeof(float) * static_cast<double>(context.threads * tile + sums);
  }
};

// Columns of dW of one chunk: X^T dz, split by columns into enough tasks for all threads.
template <class T>
void weight_gradient(Context& context, float* dw, const T* x, const T* dz, int stride, Chunk chunk,
                     int tokens, int hidden, int vocabulary, bool accumulate) {
  const int n = chunk.columns();
  const int parts = std::clamp(4 * context.threads, 1, std::max(1, n / kPartColumns));
  parallel_tasks(context, parts, [&](int64_t part, int) {
    const Range range = part_of(n, parts, part, packed_columns(context));
    if (range.begin == range.end) return;
    gemm_one_thread(context, hidden, static_cast<int>(range.end - range.begin), tokens, 1.0f,
                    OperandOf<T>{x, hidden, true}, OperandOf<T>{dz + range.begin, stride},
                    accumulate ? 1.0f : 0.0f, dw + chunk.begin + range.begin, vocabulary);
  });
}

// Logits of one tile of rows and one chunk, in fp32.
struct LogitTile {
  float* data;
  int64_t stride;
  float* row(int64_t r) const { return data + r * stride; }
};

template <class T>
void forward(Context& context, const Running& running, T* logits, const T* x, const T* w,
             const int32_t* targets, int tokens, int hidden, int vocabulary, int logit_stride) {
  const Chunks chunks(context, vocabulary, kChunkColumns);
  const bool kept = logits != nullptr, in_place = kept && kInPlace<T>;
  const int64_t tile_floats = in_place ? 0 : int64_t{kTileTokens} * chunks.columns();
  Scratch<float> tiles(context, context.threads * tile_floats);
  Scratch<Lane<T>> packed(context, packed_size<T>(context, hidden, chunks.columns()));
  for (int i = 0; i < chunks.count(); ++i) {
    const Chunk chunk = chunks[i];
    const int n = chunk.columns();
    pack_on_all_threads<T>(context, hidden, n, {w + chunk.begin, vocabulary}, packed.data());
    for_each_tile(context, tokens, [&](int64_t begin, int64_t end, int thread) {
      LogitTile z{tiles.data() + thread * tile_floats, n};
      T* keep = kept ? logits + begin * logit_stride + chunk.begin : nullptr;
      if constexpr (kInPlace<T>) {
        if (kept) z = {keep, logit_stride};
      }
      gemm_packed(context, static_cast<int>(end - begin), n, hidden, 1.0f,
                  OperandOf<T>{x + begin * hidden, hidden}, packed.data(), 0.0f, z.data, z.stride);
      for (int64_t t = begin; t < end; ++t) {
        running.add(t, z.row(t - begin), chunk, targets[t]);
        if (kept && !in_place) {
          convert_run(keep + (t - begin) * logit_stride, z.row(t - begin), n);
        }
      }
    });
  }
}

// Where the gradient finds its inputs and puts its results.
template <class T>
struct Gradient {
  T* dx;      // or null
  float* dw;  // or null
  T* logits;  // kept, to become dz; or null
  const T* x;
  const T* w;
  const int32_t* targets;
  const float* normalizer;
  float scale;  // of dz: dloss over the number of targets
  int tokens;
  int hidden;
  int vocabulary;
  int logit_stride;
  int accumulate;
};

// dX of all chunks, in fp32 where its elements are bf16.
template <class T>
void finish_dx(Context& context, const Gradient<T>& call, const float* sums) {
  const bool adds = call.accumulate & kDx;
  const int64_t count = int64_t{call.tokens} * call.hidden;
  parallel_ranges(context, count, 1, [&](int64_t begin, int64_t end) {
    each_vector(end - begin, [&](auto access, int64_t i) {
      T* target = call.dx + begin + i;
      const auto sum = access.load(sums + begin + i);
      access.store(target, adds ? access.load(target) + sum : sum);
    });
  });
}

template <class T>
void gradient(Context& context, const Gradient<T>& call) {
  const int tokens = call.tokens, hidden = call.hidden, vocabulary = call.vocabulary;
  const bool kept = call.logits != nullptr;
  const GradientChunks<T> sizes(context, tokens, hidden, vocabulary, kept);
  const Chunks& chunks = sizes.chunks;
  const int stride = kept ? call.logit_stride : row_stride(chunks.columns());
  Scratch<T> scratch(context, sizes.dz);
  Scratch<Lane<T>> packed(context, sizes.packed);
  Scratch<Lane<T>> transposed(context, call.dx ? sizes.transposed : 0);
  Scratch<float> tiles(context, context.threads * sizes.tile);
  Scratch<float> sums(context, call.dx ? sizes.sums : 0);
  for (int i = 0; i < chunks.count(); ++i) {
    const Chunk chunk = chunks[i];
    const int n = chunk.columns();
    const T* of_chunk = call.w + chunk.begin;
    T* of_dz = kept ? call.logits + chunk.begin : scratch.data();
    if (!kept) pack_on_all_threads<T>(context, hidden, n, {of_chunk, vocabulary}, packed.data());
    if (call.dx) {
      pack_on_all_threads<T>(context, n, hidden, {of_chunk, vocabulary, true}, transposed.data());
    }
    for_each_tile(context, tokens, [&](int64_t begin, int64_t end, int thread) {
      const int rows = static_cast<int>(end - begin);
      T* dz = of_dz + begin * stride;
      LogitTile z{tiles.data() + thread * sizes.tile, n};
      if constexpr (kInPlace<T>) z = {dz, stride};
      if (!kept) {
        gemm_packed(context, rows, n, hidden, 1.0f, OperandOf<T>{call.x + begin * hidden, hidden},
                    packed.data(), 0.0f, z.data, z.stride);
      }
      for (int64_t t = begin; t < end; ++t) {
        float* row = z.row(t - begin);
        T* row_dz = dz + (t - begin) * stride;
        if (kept && !kInPlace<T>) convert_run(row, row_dz, n);
        row_gradient(row, chunk, call.normalizer[2 * t], call.normalizer[2 * t + 1],
                     call.targets[t], call.scale);
        if (!kInPlace<T>) convert_run(row_dz, row, n);
      }
      if (call.dx == nullptr) return;
      const OperandOf<T> of_tile{dz, stride};
      if constexpr (kInPlace<T>) {
        gemm_packed(context, rows, hidden, n, 1.0f, of_tile, transposed.data(),
                    i > 0 || (call.accumulate & kDx) ? 1.0f : 0.0f, call.dx + begin * hidden,
                    hidden);
      } else {
        gemm_packed(context, rows, hidden, n, 1.0f, of_tile, transposed.data(), i > 0 ? 1.0f : 0.0f,
                    sums.data() + begin * hidden, hidden);
      }
    });
    if (call.dw == nullptr) continue;
    weight_gradient<T>(context, call.dw, call.x, of_dz, stride, chunk, tokens, hidden, vocabulary,
                       call.accumulate & kDw);
  }
  if (call.dx != nullptr && !kInPlace<T>) finish_dx(context, call, sums.data());
}

}  // namespace

void cross_entropy_forward(Context& context, int32_t dtype, float* loss, float* token_loss,
                           float* normalizer, void* logits, const void* x, const void* w,
                           const int32_t* targets, int tokens, int hidden, int vocabulary,
                           int logit_stride) {
  Scratch<float> state(context, int64_t{3} * tokens);
  const Running running{state.data(), state.data() + tokens, state.data() + 2 * int64_t{tokens}};
  std::fill(running.largest, running.largest + tokens, -std::numeric_limits<float>::infinity());
  std::fill(running.total, running.total + tokens, 0.0f);
  with_element(dtype, [&]<class T>() {
    forward(context, running, static_cast<T*>(logits), static_cast<const T*>(x),
            static_cast<const T*>(w), targets, tokens, hidden, vocabulary, logit_stride);
  });

  double total = 0;
  int64_t count = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    const float largest = running.largest[t], sum = running.total[t];
    normalizer[2 * t] = largest;
    normalizer[2 * t + 1] = sum;
    const float of_token =
        targets[t] < 0 ? 0.0f : std::log(sum) + (largest - running.target_logit[t]);
    if (token_loss != nullptr) token_loss[t] = of_token;
    total += of_token;
    count += targets[t] >= 0;
  }
  loss[0] = count > 0 ? static_cast<float>(total / static_cast<double>(count)) : 0.0f;
  loss[1] = static_cast<float>(count);
}

double cross_entropy_gradient_scratch(Context& context, int32_t dtype, int tokens, int hidden,
                                      int vocabulary, bool kept) {
  double bytes = 0;
  with_element(dtype, [&]<class T>() {
    bytes = GradientChunks<T>(context, tokens, hidden, vocabulary, kept).bytes(context);
  });
  return bytes;
}

void cross_entropy_gradient(Context& context, int32_t dtype, void* dx, float* dw,
                            const float* dloss, const float* loss, const float* normalizer,
                            void* logits, const void* x, const void* w, const int32_t* targets,
                            int tokens, int hidden, int vocabulary, int logit_stride,
                            int accumulate) {
  const float scale = loss[1] > 0 ? dloss[0] / loss[1] : 0.0f;
  with_element(dtype, [&]<class T>() {
    gradient(context,
             Gradient<T>{static_cast<T*>(dx), dw, static_cast<T*>(logits), static_cast<const T*>(x),
                         static_cast<const T*>(w), targets, normalizer, scale, tokens, hidden,
                         vocabulary, logit_stride, accumulate});
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(cross_entropy_forward)
REMOE_KERNEL(cross_entropy_gradient)

using namespace remoe;

namespace {

void require_sizes(int32_t tokens, int32_t hidden, int32_t vocabulary) {
  require_size(tokens, "tokens");
  require_size(hidden, "hidden");
  require_size(vocabulary, "vocabulary");
}

const int32_t* require_targets(uint64_t address, int32_t tokens, int32_t vocabulary) {
  const int32_t* targets = require_address<const int32_t>(address, "targets");
  for (int32_t i = 0; i < tokens; ++i) {
    require(targets[i] < vocabulary, REMOE_OUT_OF_RANGE,
            "target %d at position %d is outside the vocabulary of %d", targets[i], i, vocabulary);
  }
  return targets;
}

// The rows of kept logits must hold the vocabulary.
void require_logits(uint64_t address, int32_t vocabulary, int32_t stride) {
  require(address == 0 || stride >= vocabulary, REMOE_INVALID_ARGUMENT,
          "logit_stride is %d, below the vocabulary of %d", stride, vocabulary);
}

}  // namespace

int32_t remoe_cross_entropy_forward(uint64_t context, int32_t dtype, uint64_t loss,
                                    uint64_t token_loss, uint64_t normalizer, uint64_t logits,
                                    uint64_t x, uint64_t w, uint64_t targets, int32_t tokens,
                                    int32_t hidden, int32_t vocabulary, int32_t logit_stride) {
  return guard(context, "cross_entropy_forward", [&](Context& open) {
    require_sizes(tokens, hidden, vocabulary);
    require_float(dtype);
    require_logits(logits, vocabulary, logit_stride);
    REMOE_DISPATCH(open, cross_entropy_forward, dtype, require_address<float>(loss, "loss"),
                   optional_address<float>(token_loss, "token_loss"),
                   require_address<float>(normalizer, "normalizer"),
                   optional_elements(logits, dtype, "logits"), require_elements(x, dtype, "x"),
                   require_elements(w, dtype, "w"), require_targets(targets, tokens, vocabulary),
                   tokens, hidden, vocabulary, logit_stride);
  });
}

int32_t remoe_cross_entropy_gradient(uint64_t context, int32_t dtype, uint64_t dx, uint64_t dw,
                                     uint64_t dloss, uint64_t loss, uint64_t normalizer,
                                     uint64_t logits, uint64_t x, uint64_t w, uint64_t targets,
                                     int32_t tokens, int32_t hidden, int32_t vocabulary,
                                     int32_t logit_stride, int32_t accumulate) {
  return guard(context, "cross_entropy_gradient", [&](Context& open) {
    require_sizes(tokens, hidden, vocabulary);
    require_float(dtype);
    require_logits(logits, vocabulary, logit_stride);
    REMOE_DISPATCH(open, cross_entropy_gradient, dtype, optional_elements(dx, dtype, "dx"),
                   optional_address<float>(dw, "dw"), require_address<const float>(dloss, "dloss"),
                   require_address<const float>(loss, "loss"),
                   require_address<const float>(normalizer, "normalizer"),
                   optional_elements(logits, dtype, "logits"), require_elements(x, dtype, "x"),
                   require_elements(w, dtype, "w"), require_targets(targets, tokens, vocabulary),
                   tokens, hidden, vocabulary, logit_stride, accumulate);
  });
}
#endif  // REMOE_ENTRY_POINTS
