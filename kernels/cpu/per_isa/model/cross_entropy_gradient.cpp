// Cross entropy's gradient, from logits kept or recomputed.
#include <algorithm>
#include <cstdint>

#include "per_isa/model/cross_entropy_arguments.h"
#include "per_isa/model/cross_entropy_chunks.h"
#include "per_isa/scratch_bytes.h"
#include "per_isa/simd/elements.h"
#include "per_isa/simd/vector_math.h"
#include "runtime/dtype.h"

namespace remoe::REMOE_TARGET {
namespace {

// Elements of dz that the gradient holds per chunk: 32 MiB in fp32.
constexpr int64_t kGradientElements = int64_t{8} << 20;
// Elements between two rows of dz. Never a multiple of 4 KiB, at which rows would share one L1 set
// and evict each other while both products with dz pack it. The head of 182m, 25 chunks of 2048
// columns, takes 27 % less time this way.
int row_stride(int columns) { return columns + (columns % 1024 == 0 ? 16 : 0); }

// The narrowest block of columns of dW worth a task.
constexpr int kPartColumns = 128;

// Bits of `accumulate`.
enum : int { kDx = 1, kDw = 2 };

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

// dz of rows [begin, end) and one chunk. `dz` holds their logits if they were kept; otherwise they
// are computed from `packed`, W's chunk. Where dz is not computed in place, `room` holds a tile.
template <class T>
void tile_gradient(Context& context, const Gradient<T>& call, Chunk chunk, int64_t begin,
                   int64_t end, T* dz, int stride, const Lane<T>* packed, float* room) {
  const int n = chunk.columns();
  const bool kept = call.logits != nullptr;
  LogitTile z{room, n};
  if constexpr (kInPlace<T>) z = {dz, stride};
  if (!kept) {
    gemm_packed(context, static_cast<int>(end - begin), n, call.hidden, 1.0f,
                OperandOf<T>{call.x + begin * call.hidden, call.hidden}, packed, 0.0f, z.data,
                z.stride);
  }
  for (int64_t t = begin; t < end; ++t) {
    float* row = z.row(t - begin);
    T* row_dz = dz + (t - begin) * stride;
    if (kept && !kInPlace<T>) convert_run(row, row_dz, n);
    row_gradient(row, chunk, call.normalizer[2 * t], call.normalizer[2 * t + 1], call.targets[t],
                 call.scale);
    if (!kInPlace<T>) convert_run(row_dz, row, n);
  }
}

// Where dX is summed over the chunks: where it is wanted if it is fp32, in `sums` otherwise.
template <class T>
float* dx_sums(const Gradient<T>& call, float* sums) {
  if constexpr (kInPlace<T>) {
    return call.dx;
  } else {
    return sums;
  }
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
  float* dx = dx_sums(call, sums.data());
  for (int i = 0; i < chunks.count(); ++i) {
    const Chunk chunk = chunks[i];
    const int n = chunk.columns();
    const T* of_chunk = call.w + chunk.begin;
    T* of_dz = kept ? call.logits + chunk.begin : scratch.data();
    if (!kept) pack_on_all_threads<T>(context, hidden, n, {of_chunk, vocabulary}, packed.data());
    if (call.dx) {
      pack_on_all_threads<T>(context, n, hidden, {of_chunk, vocabulary, true}, transposed.data());
    }
    const bool adds_dx = i > 0 || (kInPlace<T> && (call.accumulate & kDx));
    for_each_tile(context, tokens, [&](int64_t begin, int64_t end, int thread) {
      T* dz = of_dz + begin * stride;
      tile_gradient(context, call, chunk, begin, end, dz, stride, packed.data(),
                    tiles.data() + thread * sizes.tile);
      if (call.dx == nullptr) return;
      gemm_packed(context, static_cast<int>(end - begin), hidden, n, 1.0f, OperandOf<T>{dz, stride},
                  transposed.data(), adds_dx ? 1.0f : 0.0f, dx + begin * hidden, hidden);
    });
    if (call.dw == nullptr) continue;
    weight_gradient<T>(context, call.dw, call.x, of_dz, stride, chunk, tokens, hidden, vocabulary,
                       call.accumulate & kDw);
  }
  if (call.dx != nullptr && !kInPlace<T>) finish_dx(context, call, sums.data());
}

}  // namespace

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
REMOE_KERNEL(cross_entropy_gradient)

using namespace remoe;

int32_t remoe_cross_entropy_gradient(uint64_t context, int32_t dtype, uint64_t dx, uint64_t dw,
                                     uint64_t dloss, uint64_t loss, uint64_t normalizer,
                                     uint64_t logits, uint64_t x, uint64_t w, uint64_t targets,
                                     int32_t tokens, int32_t hidden, int32_t vocabulary,
                                     int32_t logit_stride, int32_t accumulate) {
  return guard(context, "cross_entropy_gradient", [&](Context& open) {
    require_head(tokens, hidden, vocabulary);
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
