// What attention is called with, and size checks that it shares with the rotary embedding.
#pragma once

#include "runtime/context.h"

namespace remoe {

struct AttentionSizes {
  int batch;
  int sequence;
  int heads;
  int groups;
  int head_dim;
  int stride;  // elements between rows of q, k and v
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

// The arguments of remoe_attention_extend.
template <class T>
struct ExtendCall {
  T *out, *qkv, *cache;
  const int32_t* lengths;
  const int32_t *rows, *starts;  // or null
  int sequences;
  int capacity;
  int heads;
  int groups;
  int head_dim;
  int stride;  // elements between rows of qkv
  double base;

  [[gnu::always_inline]] int row(int sequence) const {
    return rows == nullptr ? sequence : rows[sequence];
  }
  [[gnu::always_inline]] int start(int sequence) const {
    return starts == nullptr ? sequence : starts[sequence];
  }
};

inline void require_heads(int32_t heads, int32_t head_dim, int32_t stride) {
  require_size(heads, "heads");
  require_size(head_dim, "head_dim");
  require(int64_t{heads} * head_dim <= stride, REMOE_INVALID_ARGUMENT,
          "stride is %d, but %d heads of %d need %lld elements per row", stride, heads, head_dim,
          static_cast<long long>(int64_t{heads} * head_dim));
}

inline void require_attention(int32_t batch, int32_t sequence, int32_t heads, int32_t groups,
                              int32_t head_dim, int32_t stride) {
  require_size(batch, "batch");
  require_size(sequence, "sequence");
  require_size(groups, "groups");
  require_heads(heads, head_dim, stride);
  require(heads % groups == 0, REMOE_INVALID_ARGUMENT,
          "%d heads are not divisible by %d groups of keys and values", heads, groups);
}

}  // namespace remoe
