// What attention is called with, and size checks that it shares with the rotary embedding.
#pragma once

#include "runtime/dtype.h"
#include "runtime/operation.h"

namespace remoe {

struct AttentionSizes {
  int batch;
  int sequence;
  int heads;
  int groups;
  int head_dim;
  int stride;  // elements between rows of q, k and v

  __host__ __device__ int heads_of_group() const { return heads / groups; }
  // Elements between rows of out.
  __host__ __device__ size_t out_stride() const {
    return static_cast<size_t>(heads) * static_cast<size_t>(head_dim);
  }
};

// The arguments of remoe_attention_forward.
template <class T>
struct ForwardCall {
  T* out;
  float* normalizer;  // or null
  const T *q, *k, *v;
  AttentionSizes sizes;
};

// The arguments of remoe_attention_gradient.
template <class T>
struct GradientCall {
  T *dq, *dk, *dv;
  const T *dout, *out;
  const float* normalizer;
  const T *q, *k, *v;
  AttentionSizes sizes;
};

inline void require_heads(int32_t heads, int32_t head_dim, int32_t stride) {
  require_size(heads, "heads");
  require_size(head_dim, "head_dim");
  require(int64_t{heads} * head_dim <= stride,
          "stride is %d, but %d heads of %d need %lld elements per row", stride, heads, head_dim,
          static_cast<long long>(int64_t{heads} * head_dim));
}

inline void require_attention(const AttentionSizes& sizes) {
  require_size(sizes.batch, "batch");
  require_size(sizes.sequence, "sequence");
  require_size(sizes.groups, "groups");
  require_heads(sizes.heads, sizes.head_dim, sizes.stride);
  require(sizes.heads % sizes.groups == 0,
          "%d heads are not divisible by %d groups of keys and values", sizes.heads, sizes.groups);
}

inline void require_pairs(int32_t head_dim, double base) {
  require(head_dim % 2 == 0,
          "head_dim is %d, but must be even, since elements are rotated in pairs", head_dim);
  require(base > 0, "base is %g, but must be above 0", base);
}

// The kernels hold a row of results in registers.
constexpr int kMostHeadDim = 256;

inline void require_supported_head(int32_t head_dim) {
  if (head_dim > kMostHeadDim) {
    fail(REMOE_UNSUPPORTED, "head_dim is %d, but at most %d is supported here", head_dim,
         kMostHeadDim);
  }
}

// Whether every row of every operand can be read by vectors of `width` elements: `addresses` or-ed
// together.
inline bool has_wide_heads(const AttentionSizes& sizes, size_t width, size_t element_bytes,
                           uint64_t addresses) {
  return static_cast<size_t>(sizes.head_dim) % width == 0 &&
         static_cast<size_t>(sizes.stride) % width == 0 && addresses % (width * element_bytes) == 0;
}

}  // namespace remoe
