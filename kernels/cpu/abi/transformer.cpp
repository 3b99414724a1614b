// The transformer block but for its experts: norm, rotary embedding, attention, token embedding.
#include "per_isa/kernels.h"

using namespace remoe;

namespace {

void require_heads(int32_t heads, int32_t head_dim, int32_t stride) {
  require_size(heads, "heads");
  require_size(head_dim, "head_dim");
  require(int64_t{heads} * head_dim <= stride, REMOE_INVALID_ARGUMENT,
          "stride is %d, but %d heads of %d take %lld elements of a row", stride, heads, head_dim,
          static_cast<long long>(int64_t{heads} * head_dim));
}

void require_attention(int32_t batch, int32_t sequence, int32_t heads, int32_t groups,
                       int32_t head_dim, int32_t stride) {
  require_size(batch, "batch");
  require_size(sequence, "sequence");
  require_size(groups, "groups");
  require_heads(heads, head_dim, stride);
  require(heads % groups == 0, REMOE_INVALID_ARGUMENT,
          "%d heads do not divide into %d groups of keys and values", heads, groups);
}

const int32_t* require_tokens(uint64_t address, int32_t count, int32_t vocabulary) {
  const int32_t* tokens = require_address<const int32_t>(address, "tokens");
  for (int32_t i = 0; i < count; ++i) {
    require(tokens[i] >= 0 && tokens[i] < vocabulary, REMOE_OUT_OF_RANGE,
            "token %d at position %d is outside the vocabulary of %d", tokens[i], i, vocabulary);
  }
  return tokens;
}

const int32_t* require_lengths(uint64_t address, int32_t batch, int32_t capacity) {
  const int32_t* lengths = require_address<const int32_t>(address, "lengths");
  for (int32_t b = 0; b < batch; ++b) {
    require(lengths[b] >= 0 && lengths[b] < capacity, REMOE_OUT_OF_RANGE,
            "sequence %d has %d tokens, and the cache room for %d with the new one", b, lengths[b],
            capacity);
  }
  return lengths;
}

}  // namespace

extern "C" {

int32_t remoe_rms_norm_forward(uint64_t context, uint64_t y, uint64_t inverse, uint64_t x,
                               uint64_t weight, int32_t rows, int32_t columns, float epsilon) {
  return guard(context, "rms_norm_forward", [&](Context& open) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    REMOE_DISPATCH(open, rms_norm_forward, require_address<float>(y, "y"),
                   optional_address<float>(inverse, "inverse"),
                   require_address<const float>(x, "x"),
                   require_address<const float>(weight, "weight"), rows, columns, epsilon);
  });
}

int32_t remoe_rms_norm_gradient(uint64_t context, uint64_t dx, uint64_t dweight, uint64_t dy,
                                uint64_t inverse, uint64_t x, uint64_t weight, int32_t rows,
                                int32_t columns, int32_t accumulate) {
  return guard(context, "rms_norm_gradient", [&](Context& open) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    REMOE_DISPATCH(
        open, rms_norm_gradient, optional_address<float>(dx, "dx"),
        optional_address<float>(dweight, "dweight"), require_address<const float>(dy, "dy"),
        require_address<const float>(inverse, "inverse"), require_address<const float>(x, "x"),
        require_address<const float>(weight, "weight"), rows, columns, accumulate);
  });
}

int32_t remoe_rope(uint64_t context, uint64_t x, int32_t rows, int32_t stride, int32_t sequence,
                   int32_t heads, int32_t head_dim, double base, int32_t offset, int32_t inverse) {
  return guard(context, "rope", [&](Context& open) {
    require_size(rows, "rows");
    require_size(sequence, "sequence");
    require_heads(heads, head_dim, stride);
    require(head_dim % 2 == 0, REMOE_INVALID_ARGUMENT,
            "head_dim is %d, but elements turn in pairs: it must be even", head_dim);
    require(base > 0, REMOE_INVALID_ARGUMENT, "base is %g, but must be above 0", base);
    require(offset >= 0, REMOE_INVALID_ARGUMENT, "offset is %d, but positions start at 0", offset);
    REMOE_DISPATCH(open, rope, require_address<float>(x, "x"), rows, stride, sequence, heads,
                   head_dim, base, offset, inverse != 0);
  });
}

int32_t remoe_attention_forward(uint64_t context, uint64_t out, uint64_t normalizer, uint64_t q,
                                uint64_t k, uint64_t v, int32_t batch, int32_t sequence,
                                int32_t heads, int32_t groups, int32_t head_dim, int32_t stride) {
  return guard(context, "attention_forward", [&](Context& open) {
    require_attention(batch, sequence, heads, groups, head_dim, stride);
    REMOE_DISPATCH(open, attention_forward, require_address<float>(out, "out"),
                   optional_address<float>(normalizer, "normalizer"),
                   require_address<const float>(q, "q"), require_address<const float>(k, "k"),
                   require_address<const float>(v, "v"), batch, sequence, heads, groups, head_dim,
                   stride);
  });
}

int32_t remoe_attention_gradient(uint64_t context, uint64_t dq, uint64_t dk, uint64_t dv,
                                 uint64_t dout, uint64_t out, uint64_t normalizer, uint64_t q,
                                 uint64_t k, uint64_t v, int32_t batch, int32_t sequence,
                                 int32_t heads, int32_t groups, int32_t head_dim, int32_t stride) {
  return guard(context, "attention_gradient", [&](Context& open) {
    require_attention(batch, sequence, heads, groups, head_dim, stride);
    REMOE_DISPATCH(
        open, attention_gradient, require_address<float>(dq, "dq"),
        require_address<float>(dk, "dk"), require_address<float>(dv, "dv"),
        require_address<const float>(dout, "dout"), require_address<const float>(out, "out"),
        require_address<const float>(normalizer, "normalizer"),
        require_address<const float>(q, "q"), require_address<const float>(k, "k"),
        require_address<const float>(v, "v"), batch, sequence, heads, groups, head_dim, stride);
  });
}

int32_t remoe_attention_decode(uint64_t context, uint64_t out, uint64_t qkv, uint64_t cache,
                               uint64_t lengths, int32_t batch, int32_t capacity, int32_t heads,
                               int32_t groups, int32_t head_dim, int32_t stride, double base) {
  return guard(context, "attention_decode", [&](Context& open) {
    require_size(capacity, "capacity");
    require_attention(batch, 1, heads, groups, head_dim, stride);
    require(head_dim % 2 == 0, REMOE_INVALID_ARGUMENT,
            "head_dim is %d, but pairs are turned: it must be even", head_dim);
    const int64_t used = (heads + 2 * int64_t{groups}) * head_dim;
    require(used <= stride, REMOE_INVALID_ARGUMENT,
            "stride is %d, but queries, keys and values take %lld elements of a row", stride,
            static_cast<long long>(used));
    require(base > 0, REMOE_INVALID_ARGUMENT, "base is %g, but it must be above 0", base);
    REMOE_DISPATCH(open, attention_decode, require_address<float>(out, "out"),
                   require_address<float>(qkv, "qkv"), require_address<float>(cache, "cache"),
                   require_lengths(lengths, batch, capacity), batch, capacity, heads, groups,
                   head_dim, stride, base);
  });
}

int32_t remoe_embedding_forward(uint64_t context, uint64_t y, uint64_t table, uint64_t tokens,
                                int32_t count, int32_t hidden, int32_t vocabulary) {
  return guard(context, "embedding_forward", [&](Context& open) {
    require_size(count, "count");
    require_size(hidden, "hidden");
    require_size(vocabulary, "vocabulary");
    REMOE_DISPATCH(open, embedding_forward, require_address<float>(y, "y"),
                   require_address<const float>(table, "table"),
                   require_tokens(tokens, count, vocabulary), count, hidden, vocabulary);
  });
}

int32_t remoe_embedding_gradient(uint64_t context, uint64_t dtable, uint64_t dy, uint64_t tokens,
                                 int32_t count, int32_t hidden, int32_t vocabulary,
                                 int32_t accumulate) {
  return guard(context, "embedding_gradient", [&](Context& open) {
    require_size(count, "count");
    require_size(hidden, "hidden");
    require_size(vocabulary, "vocabulary");
    REMOE_DISPATCH(open, embedding_gradient, require_address<float>(dtable, "dtable"),
                   require_address<const float>(dy, "dy"),
                   require_tokens(tokens, count, vocabulary), count, hidden, vocabulary,
                   accumulate != 0);
  });
}
}
