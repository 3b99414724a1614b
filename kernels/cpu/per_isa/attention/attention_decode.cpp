// Attention of one new token per sequence against the keys and values of its predecessors.
//
// A token at length n takes 4 n head_dim operations per head on 2 n head_dim floats per group. It
// is bound by reading the cache, which is read once for all heads of a group.
#include <cmath>
#include <cstring>
#include <type_traits>

#include "per_isa/attention/attention_arguments.h"
#include "per_isa/gemm/packing.h"
#include "per_isa/kernel.h"
#include "per_isa/simd/vector_math.h"
#include "runtime/dtype.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// State shared by the tasks of one call.
template <class T>
struct Decode {
  T* out;         // [B, heads * head_dim]
  T* qkv;         // [B, stride]
  T* cache;       // [B, capacity, 2 * groups * head_dim]: keys, then values
  float* scores;  // [B, heads, capacity]
  float* room;    // [B, heads, 2 * head_dim]: queries and results in fp32, if those are bf16
  const int32_t* lengths;
  int64_t capacity;
  int heads;
  int groups;
  int head_dim;
  int64_t stride;
  const float *cosine, *sine;  // [B, head_dim / 2]

  int64_t row() const { return int64_t{2} * groups * head_dim; }
  int shared() const { return heads / groups; }
};

template <class T>
float dot(const float* a, const T* b, int count) {
  Vec total = {};
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) total += load(a + i) * load(b + i);
  if (i < count) total += load_partial(a + i, count - i) * load_partial(b + i, count - i);
  return sum(total);
}

// total = sum over p < count of weights[p] * x[p * row ..], for V vectors, or for `columns`
// elements of one.
template <int V, class T>
void weighted_sum(float* total, const T* x, int64_t row, const float* weights, int64_t count,
                  int columns = kLanes) {
  Vec sums[V] = {};
  for (int64_t p = 0; p < count; ++p, x += row) {
    prefetch_run(x + kRowsAhead * row, V * kLanes);
    for (int v = 0; v < V; ++v) {
      const Vec value = columns == kLanes ? load(x + v * kLanes) : load_partial(x, columns);
      sums[v] += value * weights[p];
    }
  }
  for (int v = 0; v < V; ++v) {
    if (columns == kLanes) {
      store(total + v * kLanes, sums[v]);
    } else {
      store_partial(total, sums[v], columns);
    }
  }
}

template <class T>
void weighted_values(float* total, const T* x, int64_t row, const float* weights, int64_t count,
                     int dim) {
  int i = 0;
  for (; i + 4 * kLanes <= dim; i += 4 * kLanes) {
    weighted_sum<4>(total + i, x + i, row, weights, count);
  }
  for (; i + kLanes <= dim; i += kLanes) weighted_sum<1>(total + i, x + i, row, weights, count);
  if (i < dim) weighted_sum<1>(total + i, x + i, row, weights, count, dim - i);
}

// Cosines and sines [B, half] of the angles by which a head at each sequence's position is rotated,
// as in rope.cpp.
void fill_angles(const Context& context, float* cosine, float* sine, const int32_t* positions,
                 int64_t batch, int half, double base) {
  constexpr int64_t kCost = 100;  // of a power, a cosine and a sine
  parallel_ranges(context, batch, kCost * half, [&](int64_t begin, int64_t end) {
    for (int i = 0; i < half; ++i) {
      const double frequency = std::pow(base, -static_cast<double>(i) / half);
      for (int64_t b = begin; b < end; ++b) {
        const double angle = static_cast<double>(positions[b]) * frequency;
        cosine[b * half + i] = static_cast<float>(std::cos(angle));
        sine[b * half + i] = static_cast<float>(std::sin(angle));
      }
    }
  });
}

template <class T>
void turn(T* x, const float* cosine, const float* sine, int half) {
  for (int i = 0; i < half; ++i) {
    const float a = widened(x[i]), b = widened(x[i + half]);
    x[i] = rounded<T>(a * cosine[i] - b * sine[i]);
    x[i + half] = rounded<T>(b * cosine[i] + a * sine[i]);
  }
}

// Replaces scores[0, count) with their softmax.
void normalize(float* scores, int64_t count) {
  Vec most = broadcast(scores[0]);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) most = maximum(load(scores + i), most);
  float largest = maximum(most);
  for (; i < count; ++i) largest = maximum(scores[i], largest);
  map(scores, scores, count, [=](Vec score) { return exponential(score - largest); });
  float total = 0;
  for (int64_t p = 0; p < count; ++p) total += scores[p];
  const float inverse = 1 / total;
  map(scores, scores, count, [=](Vec weight) { return weight * inverse; });
}

// x itself if it is fp32, otherwise room for it in fp32.
template <class T>
float* in_fp32(T* x, float* room) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    return room;
  }
}

// Handles one group of one sequence: appends its key and value to the cache, then attends with each
// of its heads.
template <class T>
void decode_group(const Decode<T>& call, int64_t sequence, int group) {
  const int dim = call.head_dim;
  const int64_t length = call.lengths[sequence], row = call.row();
  T* qkv = call.qkv + sequence * call.stride;
  T* q = qkv + int64_t{group} * call.shared() * dim;
  T* k = qkv + int64_t{call.heads + group} * dim;
  const T* v = qkv + int64_t{call.heads + call.groups + group} * dim;
  T* keys = call.cache + sequence * call.capacity * row + int64_t{group} * dim;
  T* values = keys + int64_t{call.groups} * dim;
  const float* cosine = call.cosine + sequence * (dim / 2);
  const float* sine = call.sine + sequence * (dim / 2);
  turn(k, cosine, sine, dim / 2);
  std::memcpy(keys + length * row, k, dim * sizeof(T));
  std::memcpy(values + length * row, v, dim * sizeof(T));

  const int64_t first_head = sequence * call.heads + int64_t{group} * call.shared();
  const int64_t elements = int64_t{call.shared()} * dim;
  float* scores = call.scores + first_head * call.capacity;
  const float scale = 1 / std::sqrt(static_cast<float>(dim));
  for (int head = 0; head < call.shared(); ++head) {
    turn(q + int64_t{head} * dim, cosine, sine, dim / 2);
  }
  float* room = call.room + 2 * first_head * dim;
  float* query = in_fp32(q, room);
  if (query == room) convert_run(query, q, elements);
  for (int64_t p = 0; p <= length; ++p) {
    prefetch_run(keys + (p + kRowsAhead) * row, dim);
    for (int head = 0; head < call.shared(); ++head) {
      scores[head * call.capacity + p] =
          scale * dot(query + int64_t{head} * dim, keys + p * row, dim);
    }
  }
  T* out = call.out + first_head * dim;
  float* total = in_fp32(out, room + elements);
  for (int head = 0; head < call.shared(); ++head) {
    float* weights = scores + head * call.capacity;
    normalize(weights, length + 1);
    weighted_values(total + int64_t{head} * dim, values, row, weights, length + 1, dim);
  }
  if (query == room) convert_run(out, total, elements);
}

}  // namespace

void attention_decode(Context& context, int32_t dtype, void* out, void* qkv, void* cache,
                      const int32_t* lengths, int batch, int capacity, int heads, int groups,
                      int head_dim, int stride, double base) {
  Scratch<float> scores(context, int64_t{batch} * heads * capacity);
  Scratch<float> room(context, dtype == REMOE_F32 ? 0 : int64_t{2} * batch * heads * head_dim);
  const int half = head_dim / 2;
  Scratch<float> angles(context, int64_t{2} * batch * half);
  float* cosine = angles.data();
  float* sine = cosine + int64_t{batch} * half;
  fill_angles(context, cosine, sine, lengths, batch, half, base);
  int64_t longest = 0;
  for (int b = 0; b < batch; ++b) longest = std::max<int64_t>(longest, lengths[b]);
  const int64_t cost = (longest + 1) * head_dim * (heads / groups);
  with_element(dtype, [&]<class T>() {
    const Decode<T> call{static_cast<T*>(out),
                         static_cast<T*>(qkv),
                         static_cast<T*>(cache),
                         scores.data(),
                         room.data(),
                         lengths,
                         capacity,
                         heads,
                         groups,
                         head_dim,
                         stride,
                         cosine,
                         sine};
    parallel_ranges(context, int64_t{batch} * groups, cost, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        decode_group(call, i / groups, static_cast<int>(i % groups));
      }
    });
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(attention_decode)

using namespace remoe;

namespace {

const int32_t* require_lengths(uint64_t address, int32_t batch, int32_t capacity) {
  const int32_t* lengths = require_address<const int32_t>(address, "lengths");
  for (int32_t b = 0; b < batch; ++b) {
    require(lengths[b] >= 0 && lengths[b] < capacity, REMOE_OUT_OF_RANGE,
            "sequence %d has %d tokens, but the cache has room for %d including the new one", b,
            lengths[b], capacity);
  }
  return lengths;
}

}  // namespace

int32_t remoe_attention_decode(uint64_t context, int32_t dtype, uint64_t out, uint64_t qkv,
                               uint64_t cache, uint64_t lengths, int32_t batch, int32_t capacity,
                               int32_t heads, int32_t groups, int32_t head_dim, int32_t stride,
                               double base) {
  return guard(context, "attention_decode", [&](Context& open) {
    require_size(capacity, "capacity");
    require_attention(batch, 1, heads, groups, head_dim, stride);
    require(head_dim % 2 == 0, REMOE_INVALID_ARGUMENT,
            "head_dim is %d, but must be even, since elements are rotated in pairs", head_dim);
    const int64_t used = (heads + 2 * int64_t{groups}) * head_dim;
    require(used <= stride, REMOE_INVALID_ARGUMENT,
            "stride is %d, but queries, keys and values need %lld elements per row", stride,
            static_cast<long long>(used));
    require(base > 0, REMOE_INVALID_ARGUMENT, "base is %g, but must be above 0", base);
    require_float(dtype);
    const int32_t* of_sequences = require_lengths(lengths, batch, capacity);
    REMOE_DISPATCH(open, attention_decode, dtype, require_elements(out, dtype, "out"),
                   require_elements(qkv, dtype, "qkv"), require_elements(cache, dtype, "cache"),
                   of_sequences, batch, capacity, heads, groups, head_dim, stride, base);
  });
}
#endif  // REMOE_ENTRY_POINTS
