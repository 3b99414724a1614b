// Cross entropy's gradient, from logits kept or recomputed.
//
// Kept logits become dz where they lie, and each of dX and dW is then a single product over the
// whole vocabulary. Recomputed ones go through scratch memory of bounded size.

#include <cmath>

#include "device/block_scan.h"
#include "device/floats.h"
#include "model/cross_entropy_chunks.h"
#include "model/cross_entropy_tensor_cores.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kSteps = 4;  // vectors of a lane
constexpr unsigned kMaximumBlocks = 4096;
// Elements of a recomputed chunk: 256 MiB of fp32 logits. Large, since dX is read and written once
// per chunk.
constexpr int64_t kChunkElements = int64_t{64} << 20;

// Bits of `accumulate`.
enum : int { kDx = 1, kDw = 2 };

// Where the gradient finds its inputs and puts its results.
template <class T>
struct Gradient {
  T* dx;      // or null
  float* dw;  // or null
  T* logits;  // kept, to become dz; or null
  const T* x;
  const T* w;
  const float* dloss;
  const float* loss;
  const float* normalizer;
  const int32_t* targets;
  IndexCheck check;
  int tokens;
  int hidden;
  int vocabulary;
  int logit_stride;
  int accumulate;
};

// Logits and their gradients, of one chunk. They may be in the same place.
template <class T, class Z>
struct ChunkLogits {
  T* dz;
  const Z* z;
  int64_t dz_stride;
  int64_t z_stride;
  Chunk chunk;
};

// What a row's dz follows from: dz = exp(z - largest) * factor, less `scale` at the target.
struct RowFactors {
  float largest;
  float factor;
  float scale;  // 0: the row is ignored
  int target;   // in the chunk, if it is there

  template <class T>
  __device__ __forceinline__ RowFactors(const Gradient<T>& a, int64_t t, const Chunk& chunk) {
    const int32_t of_row = a.targets[t];
    const bool counts = of_row >= 0 && of_row < a.vocabulary && a.loss[1] > 0;
    largest = a.normalizer[2 * t];
    scale = counts ? *a.dloss / a.loss[1] : 0.0f;
    factor = scale / a.normalizer[2 * t + 1];
    target = of_row - chunk.begin;
  }

  __device__ __forceinline__ float operator()(float z, int column) const {
    if (scale == 0.0f) return 0.0f;
    const float p = expf(z - largest) * factor;
    return column == target ? p - scale : p;
  }
};

// A warp takes part of a row.
template <class T, class Z, bool kWide>
__global__ void __launch_bounds__(kThreads)
    logit_gradient_kernel(Gradient<T> a, ChunkLogits<T, Z> c) {
  constexpr int kWidth = kWide ? 16 / sizeof(Z) : 1;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t t = static_cast<int64_t>(blockIdx.x) * kWarps + warp;
  if (t >= a.tokens) return;
  if (lane == 0 && blockIdx.y == 0 && a.targets[t] >= a.vocabulary) {
    a.check.report(static_cast<int32_t>(t), a.targets[t]);
  }
  const RowFactors gradient(a, t, c.chunk);
  const Z* z = c.z + t * c.z_stride;
  T* dz = c.dz + t * c.dz_stride;
  const int first = static_cast<int>(blockIdx.y) * kWarp * kSteps * kWidth + lane * kWidth;
#pragma unroll
  for (int i = 0; i < kSteps; i++) {
    const int column = first + i * kWarp * kWidth;
    if (column + kWidth <= c.chunk.columns()) {
      float values[kWidth];
      load_floats(z + column, values);
#pragma unroll
      for (int k = 0; k < kWidth; k++) values[k] = gradient(values[k], column + k);
      store_floats(dz + column, values);
      continue;
    }
    for (int k = column; k < c.chunk.columns(); k++) {
      dz[k] = to_element<T>(gradient(to_float(z[k]), k));
    }
  }
}

template <class T, class Z>
void differentiate_logits(Operation& op, const Gradient<T>& call, const ChunkLogits<T, Z>& c) {
  constexpr int kWide = 16 / sizeof(Z);
  const bool wide = c.z_stride % kWide == 0 && c.dz_stride % kWide == 0 &&
                    reinterpret_cast<uint64_t>(c.z) % 16 == 0 &&
                    reinterpret_cast<uint64_t>(c.dz) % (kWide * sizeof(T)) == 0;
  const int part = kWarp * kSteps * (wide ? kWide : 1);
  const dim3 grid((call.tokens + kWarps - 1) / kWarps, (c.chunk.columns() + part - 1) / part);
  op.launch(wide ? logit_gradient_kernel<T, Z, true> : logit_gradient_kernel<T, Z, false>, grid,
            dim3(kThreads), 0, call, c);
}

// The same for the tensor cores' epilogue, which then needs no logits in memory.
template <class T>
__global__ void __launch_bounds__(kThreads) row_factors_kernel(float* row_factors, Gradient<T> a) {
  const int64_t t = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (t >= a.tokens) return;
  if (a.targets[t] >= a.vocabulary) a.check.report(static_cast<int32_t>(t), a.targets[t]);
  const RowFactors factors(a, t, {0, a.vocabulary});
  row_factors[3 * t] = factors.largest;
  row_factors[3 * t + 1] = factors.factor;
  row_factors[3 * t + 2] = factors.scale;
}

// dX (+)= dz W^T of one chunk, with C either dX or its fp32 sums over the chunks.
template <class T, class C>
void multiply_dx(Operation& op, const Gradient<T>& call, C* dx, const T* dz, int64_t stride,
                 Chunk chunk, bool adds) {
  multiply(op, {.m = call.tokens,
                .n = call.hidden,
                .k = chunk.columns(),
                .dtype_a = kDtypeOf<T>,
                .a = dz,
                .lda = stride,
                .dtype_b = kDtypeOf<T>,
                .b = call.w + chunk.begin,
                .ldb = call.vocabulary,
                .transpose_b = true,
                .dtype_c = kDtypeOf<C>,
                .c = dx,
                .ldc = call.hidden,
                .beta = adds ? 1.0f : 0.0f});
}

// dW (+)= X^T dz, the columns of one chunk.
template <class T>
void multiply_dw(Operation& op, const Gradient<T>& call, const T* dz, int64_t stride, Chunk chunk) {
  multiply(op, {.m = call.hidden,
                .n = chunk.columns(),
                .k = call.tokens,
                .dtype_a = kDtypeOf<T>,
                .a = call.x,
                .lda = call.hidden,
                .transpose_a = true,
                .dtype_b = kDtypeOf<T>,
                .b = dz,
                .ldb = stride,
                .dtype_c = REMOE_F32,
                .c = call.dw + chunk.begin,
                .ldc = call.vocabulary,
                .beta = call.accumulate & kDw ? 1.0f : 0.0f});
}

// dX from its sums over the chunks.
template <class T>
__global__ void __launch_bounds__(kThreads)
    round_sums_kernel(T* dx, const float* sums, size_t count, bool adds) {
  const size_t stride = static_cast<size_t>(gridDim.x) * kThreads;
  for (size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += stride) {
    dx[i] = to_element<T>(adds ? to_float(dx[i]) + sums[i] : sums[i]);
  }
}

template <class T>
void from_kept_logits(Operation& op, const Gradient<T>& call) {
  const Chunk all = {0, call.vocabulary};
  differentiate_logits<T, T>(op, call,
                             {call.logits, call.logits, call.logit_stride, call.logit_stride, all});
  if (call.dx != nullptr) {
    multiply_dx(op, call, call.dx, call.logits, call.logit_stride, all, call.accumulate & kDx);
  }
  if (call.dw != nullptr) multiply_dw(op, call, call.logits, call.logit_stride, all);
}

// Computes logits again and turns them into dz, a chunk at a time.
template <class T>
class Recomputed {
 public:
  Recomputed(Operation& op, const Gradient<T>& call)
      : op_(op),
        call_(call),
        fused_(fits(op, call)),
        chunks_(call.tokens, call.vocabulary, fused_ ? 2 * kChunkElements : kChunkElements),
        z_(op, fused_ ? 1 : elements()),
        dz_(op, kRounds ? elements() : 1),
        row_factors_(op, fused_ ? 3 * static_cast<size_t>(call.tokens) : 1) {
    if (!fused_) return;
    op.launch(row_factors_kernel<T>, dim3((call.tokens - 1) / kThreads + 1), dim3(kThreads), 0,
              row_factors_.data(), call);
  }

  const Chunks& chunks() const { return chunks_; }
  int64_t stride() const { return chunks_.columns(); }

  // dz of a chunk, until the next.
  const T* operator()(Chunk chunk) const {
    if constexpr (kRounds) {
      if (fused_) {
        differentiate_logits(op_, head_of(call_), row_factors_.data(), chunk.begin, chunk.end,
                             dz_.data(), stride());
        return dz_.data();
      }
    }
    multiply_logits(op_, z_.data(), stride(), call_.x, call_.w, chunk, call_.tokens, call_.hidden,
                    call_.vocabulary);
    T* dz = dz_.data();
    // fp32 needs no other place for dz.
    if constexpr (!kRounds) dz = z_.data();
    differentiate_logits<T, float>(op_, call_, {dz, z_.data(), stride(), stride(), chunk});
    return dz;
  }

  static constexpr bool kRounds = sizeof(T) == sizeof(Bf16);

 private:
  static BF16Head head_of(const Gradient<T>& call) {
    if constexpr (kRounds) {
      return {call.x, call.w, call.targets, call.tokens, call.hidden, call.vocabulary};
    }
    return {};
  }
  static bool fits(Operation& op, const Gradient<T>& call) {
    return kRounds && fits_tensor_cores(op, head_of(call), nullptr, 0);
  }
  size_t elements() const { return static_cast<size_t>(call_.tokens) * chunks_.columns(); }

  Operation& op_;
  const Gradient<T>& call_;
  bool fused_;
  Chunks chunks_;
  Scratch<float> z_;
  Scratch<T> dz_;
  Scratch<float> row_factors_;
};

template <class T>
void from_recomputed_logits(Operation& op, const Gradient<T>& call) {
  if (call.dx == nullptr && call.dw == nullptr) return;
  const Recomputed<T> recomputed(op, call);
  const Chunks& chunks = recomputed.chunks();
  const size_t count = static_cast<size_t>(call.tokens) * call.hidden;
  const bool sums_dx = Recomputed<T>::kRounds && call.dx != nullptr && chunks.count() > 1;
  const bool adds = (call.accumulate & kDx) != 0;
  const Scratch<float> sums(op, sums_dx ? count : 1);
  for (int i = 0; i < chunks.count(); i++) {
    const Chunk chunk = chunks[i];
    const T* dz = recomputed(chunk);
    const int64_t stride = recomputed.stride();
    if (sums_dx) {
      multiply_dx(op, call, sums.data(), dz, stride, chunk, i > 0);
    } else if (call.dx != nullptr) {
      multiply_dx(op, call, call.dx, dz, stride, chunk, i > 0 || adds);
    }
    if (call.dw != nullptr) multiply_dw(op, call, dz, stride, chunk);
  }
  if (sums_dx) {
    op.launch(round_sums_kernel<T>, dim3(grid_blocks(count, kThreads, kMaximumBlocks)),
              dim3(kThreads), 0, call.dx, sums.data(), count, adds);
  }
}

}  // namespace
}  // namespace remoe

int32_t remoe_cross_entropy_gradient(uint64_t context, int32_t dtype, uint64_t dx, uint64_t dw,
                                     uint64_t dloss, uint64_t loss, uint64_t normalizer,
                                     uint64_t logits, uint64_t x, uint64_t w, uint64_t targets,
                                     int32_t tokens, int32_t hidden, int32_t vocabulary,
                                     int32_t logit_stride, int32_t accumulate) {
  using namespace remoe;
  return guard(context, "cross_entropy_gradient", [&](Operation& op) {
    require_head(tokens, hidden, vocabulary);
    require_float(dtype);
    require_logits(logits, vocabulary, logit_stride);
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      const Gradient<T> call = {
          .dx = optional_address<T>(dx, "dx"),
          .dw = optional_address<float>(dw, "dw"),
          .logits = optional_address<T>(logits, "logits"),
          .x = require_address<const T>(x, "x"),
          .w = require_address<const T>(w, "w"),
          .dloss = require_address<const float>(dloss, "dloss"),
          .loss = require_address<const float>(loss, "loss"),
          .normalizer = require_address<const float>(normalizer, "normalizer"),
          .targets = require_address<const int32_t>(targets, "targets"),
          .check = op.index_check(fail_at_target, vocabulary),
          .tokens = tokens,
          .hidden = hidden,
          .vocabulary = vocabulary,
          .logit_stride = logit_stride,
          .accumulate = accumulate};
      if (call.logits != nullptr) {
        from_kept_logits(op, call);
      } else {
        from_recomputed_logits(op, call);
      }
    });
  });
}
