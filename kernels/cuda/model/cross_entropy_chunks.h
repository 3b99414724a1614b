// Cross entropy fused with the output head.
//
// For a row x of X and its target t, the loss is log sum_v exp(z_v) - z_t with z = x W. Logits are
// computed in chunks of the vocabulary, all rows at once, so that [T,V] need not be materialised:
//
//   forward    keeps a running maximum m and s = sum exp(z - m) per row; a larger maximum m' in a
//              later chunk rescales s by exp(m - m'). The loss is log s + (m - z_t): in fp32, the
//              sum m + log s would lose the digits of log s when logits are large.
//   gradient   dz_v = (exp(z_v - m) / s - [v = t]) / count, from logits kept or recomputed. A
//              chunk of dz gives its part of dX = dz W^T, and all of its columns of dW = X^T dz.
//
// In bf16, x, W, kept logits and dz are bf16: logits are computed in fp32, and rounded when they
// are kept or have become dz; dX is summed over the chunks in fp32.
#pragma once

#include <algorithm>

#include "device/bf16.h"
#include "gemm/product.h"
#include "model/token_check.h"
#include "runtime/dtype.h"

namespace remoe {

// Columns [begin, end) of W.
struct Chunk {
  int begin;
  int end;
  __host__ __device__ int columns() const { return end - begin; }
};

// The vocabulary split into even chunks of about `elements` elements over all tokens.
class Chunks {
 public:
  Chunks(int tokens, int vocabulary, int64_t elements) : vocabulary_(vocabulary) {
    // Whole tiles of products, and enough of them to fill a device. The emulator's problems are
    // small: the least makes several chunks of them.
    const int64_t units = gpu::kEmulated ? 0 : elements / tokens / kUnit;
    const int64_t most = std::max<int64_t>(units, 4) * kUnit;
    const int64_t count = (vocabulary + most - 1) / most;
    columns_ = ((vocabulary + count - 1) / count + kUnit - 1) / kUnit * kUnit;
    count_ = static_cast<int>((vocabulary + columns_ - 1) / columns_);
  }
  int count() const { return count_; }
  // Of all but the last, and elements between rows of a chunk of its own.
  int columns() const { return static_cast<int>(columns_); }
  Chunk operator[](int i) const { return {begin(i), begin(i + int64_t{1})}; }

 private:
  static constexpr int64_t kUnit = 128;

  int begin(int64_t i) const {
    return static_cast<int>(std::min<int64_t>(vocabulary_, i * columns_));
  }

  int vocabulary_;
  int count_;
  int64_t columns_;
};

template <class T>
constexpr int32_t kDtypeOf = sizeof(T) == sizeof(Bf16) ? REMOE_BF16 : REMOE_F32;

// z [T, columns of the chunk] = X W.
template <class T>
void multiply_logits(Operation& op, float* z, int64_t stride, const T* x, const T* w, Chunk chunk,
                     int tokens, int hidden, int vocabulary) {
  multiply(op, {.m = tokens,
                .n = chunk.columns(),
                .k = hidden,
                .dtype_a = kDtypeOf<T>,
                .a = x,
                .lda = hidden,
                .dtype_b = kDtypeOf<T>,
                .b = w + chunk.begin,
                .ldb = vocabulary,
                .dtype_c = REMOE_F32,
                .c = z,
                .ldc = stride});
}

inline void require_head(int32_t tokens, int32_t hidden, int32_t vocabulary) {
  require_size(tokens, "tokens");
  require_size(hidden, "hidden");
  require_size(vocabulary, "vocabulary");
}

// The rows of kept logits must hold the vocabulary.
inline void require_logits(uint64_t address, int32_t vocabulary, int32_t stride) {
  require(address == 0 || stride >= vocabulary, "logit_stride is %d, below the vocabulary of %d",
          stride, vocabulary);
}

}  // namespace remoe
