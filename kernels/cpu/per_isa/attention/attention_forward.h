// Causal grouped-query attention: softmax(Q K^T / sqrt(head_dim)) V, block by block, with a running
// maximum m and sum l per query. A block with a larger maximum m' rescales the sums so far by exp(m
// - m'), so only one block of scores is ever held. With fp32 tiles, the scale is folded into the
// queries. If scores are so large that their last digit matters in an exponent, their differences
// are exact. With pairs of bf16, which would round the scaled queries, it is applied to the scores,
// in the multiply-add that subtracts m.
#pragma once

#include <cmath>
#include <limits>

#include "per_isa/attention/attention_arguments.h"
#include "per_isa/attention/attention_block.h"
#include "per_isa/attention/operand_tiles.h"
#include "per_isa/attention/score_scale.h"
#include "per_isa/gemm/workspace.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace forward {

// State shared by the tasks of one call.
template <class T>
struct Attention : ForwardCall<T> {
  int64_t sequence;
  int64_t heads;
  int64_t heads_of_group;
  int64_t head_dim;
  int64_t stride;
  float scale;

  explicit Attention(const ForwardCall<T>& call)
      : ForwardCall<T>(call),
        sequence(call.sizes.sequence),
        heads(call.sizes.heads),
        heads_of_group(heads / call.sizes.groups),
        head_dim(call.sizes.head_dim),
        stride(call.sizes.stride),
        scale(1.0f / std::sqrt(static_cast<float>(head_dim))) {}
};

// One head's block of queries, with the state carried from one key block to the next.
template <class E>
struct QueryBlock {
  TileOf<E> qt;    // [lanes, kBlock]
  CacheTile out;   // [kBlock, head_dim]: sum of p v
  float* largest;  // [kBlock]: the largest score so far
  float* total;    // [kBlock]: l

  template <class Call>
  QueryBlock(Workspace& memory, const Call& call)
      : qt(memory.tile<E>(lanes_of<E>(call.head_dim), kBlock)),
        out(memory.tile(kBlock, call.head_dim)),
        largest(memory.take(kBlock)),
        total(memory.take(kBlock)) {}
};

// A thread's scratch: a block of keys, one of values, one of scores, and a QueryBlock per head.
template <class E>
struct Memory {
  TileOf<E> keys;    // [kBlock, lanes]
  TileOf<E> values;  // [lanes of keys, head_dim]
  CacheTile scores;  // [keys, queries]
  float* blocks;
  int64_t block_floats;

  template <class Call>
  Memory(Workspace& memory, const Call& call)
      : keys(memory.tile<E>(kBlock, lanes_of<E>(call.head_dim))),
        values(memory.tile<E>(kBlock / kPerLane<E>, call.head_dim)),
        scores(memory.tile(kBlock, kBlock)),
        block_floats(layout_floats<QueryBlock<E>>(call)) {
    blocks = memory.take(call.heads_of_group * block_floats);
  }
  template <class Call>
  QueryBlock<E> block(int64_t i, const Call& call) const {
    Workspace of_head(blocks + i * block_floats);
    return QueryBlock<E>(of_head, call);
  }
  // The weights, [lanes of keys, queries], which take the place of the scores.
  TileOf<E> weights() const { return {reinterpret_cast<Lane<E>*>(scores.data), kBlock}; }
};

// Turns the scores of one vector of queries into p = exp(score - m), m the largest so far, and adds
// them to the sum. Returns the factor that rescales what was summed before. The mask is applied
// after the exponential, whose result for hidden keys is discarded.
template <class E, class Mask>
Vec softmax_lanes(const QueryBlock<E>& block, float* scores, int query, Mask mask, bool first_block,
                  ScoreScale<E> scale) {
  const int keys = mask.keys_of(query);
  const Vec before = load(block.largest + query);
  const float nothing = -std::numeric_limits<float>::infinity();
  // Two maxima, to break the dependency chain.
  Vec even = before, odd = before;
  for (int key = 0; key < keys; key += 2) {
    even = maximum(even, mask.select(query, key, load(scores + key * kPitch), nothing));
    odd = maximum(odd, mask.select(query, key + 1, load(scores + (key + 1) * kPitch), nothing));
  }
  const Vec largest = maximum(even, odd), shift = scale(largest);
  Vec total = {};
  for (int key = 0; key < keys; key += kPerLane<E>) {
    Vec p[kPerLane<E>];
    for (int i = 0; i < kPerLane<E>; ++i) {
      const Vec e = bounded_exponential(scale(load(scores + (key + i) * kPitch)) - shift);
      p[i] = mask.select(query, key + i, e, 0.0f);
      total += p[i];
    }
    if constexpr (kPerLane<E> == 1) {
      store(scores + key * kPitch, p[0]);
    } else {
      // The row written holds scores of keys that were read before.
      store(reinterpret_cast<Lane<E>*>(scores) + key / 2 * kPitch, interleave(p[0], p[1]));
    }
  }
  store(block.largest + query, largest);
  const Vec factor = first_block ? Vec{} : exponential(scale(before) - shift);
  store(block.total + query, first_block ? total : load(block.total + query) * factor + total);
  return factor;
}

template <class E, class Mask>
void softmax_block(const QueryBlock<E>& block, const CacheTile& scores, int64_t head_dim, Mask mask,
                   bool first_block, ScoreScale<E> scale) {
  float factor[kBlock];
  for (int query = 0; query < mask.query_end(); query += kLanes) {
    store(factor + query,
          softmax_lanes(block, scores.at(0, query), query, mask, first_block, scale));
  }
  if (first_block) return;
  for (int query = 0; query < mask.query_end(); ++query) {
    for (int64_t c = 0; c < head_dim; c += kLanes) {
      float* at = block.out.at(query, c);
      store(at, load(at) * factor[query]);
    }
  }
}

template <class T, class E>
void finish(const Attention<T>& call, const QueryBlock<E>& block, int64_t row, int64_t head,
            int64_t count) {
  const int64_t stride = call.heads * call.head_dim;
  write_rows(call.out + row * stride + head * call.head_dim, stride, block.out, count,
             call.head_dim, [&](int64_t r) { return 1.0f / block.total[r]; });
  if (call.normalizer == nullptr) return;
  for (int64_t r = 0; r < count; ++r) {
    float* pair = call.normalizer + 2 * ((row + r) * call.heads + head);
    pair[0] = ScoreScale<E>(call.scale)(block.largest[r]);
    pair[1] = block.total[r];
  }
}

// Attends with the heads of a group for queries [first, first + kBlock) of the sequence whose rows
// begin at `row`.
template <class T, class E>
void attend(const Attention<T>& call, const Memory<E>& memory, int64_t row, int64_t group,
            int64_t first) {
  const ScoreScale<E> scale(call.scale);
  const int64_t count = std::min<int64_t>(kBlock, call.sequence - first);
  const auto block_of = [&](int64_t i) { return memory.block(i, call); };
  const auto head_of = [&](int64_t i) { return group * call.heads_of_group + i; };
  for (int64_t i = 0; i < call.heads_of_group; ++i) {
    const QueryBlock<E> block = block_of(i);
    const T* q = call.q + (row + first) * call.stride + head_of(i) * call.head_dim;
    copy_transposed(block.qt, q, call.stride, count, call.head_dim, scale.of_queries());
    clear(block.out, call.head_dim);
    std::fill(block.largest, block.largest + kBlock, -std::numeric_limits<float>::infinity());
  }
  // Keys past the end of the sequence lie in the diagonal block, where the mask hides them.
  for (int64_t key = 0; key <= first; key += kBlock) {
    const int64_t source = (row + key) * call.stride + group * call.head_dim;
    const int64_t keys = std::min<int64_t>(kBlock, call.sequence - key);
    copy_along(memory.keys, call.k + source, call.stride, keys, call.head_dim);
    copy_across(memory.values, call.v + source, call.stride, keys, call.head_dim, Unscaled{});
    const BlockMask mask{key == first};
    for (int64_t i = 0; i < call.heads_of_group; ++i) {
      const QueryBlock<E> block = block_of(i);
      score_block(memory.scores, memory.keys, block.qt, call.head_dim, mask);
      softmax_block(block, memory.scores, call.head_dim, mask, key == 0, scale);
      add_over_keys(block.out, memory.weights(), memory.values, call.head_dim, mask);
    }
  }
  for (int64_t i = 0; i < call.heads_of_group; ++i) {
    finish(call, block_of(i), row + first, head_of(i), count);
  }
}

}  // namespace forward

template <class T>
void attend_all(Context& context, const ForwardCall<T>& arguments) {
  using namespace forward;
  using Scratches = Memory<TileElement<T>>;
  const Attention<T> call(arguments);
  const int64_t thread_floats = layout_floats<Scratches>(call);
  Scratch<float> memory(context, context.threads * thread_floats);
  const int64_t groups = call.sizes.groups, blocks = (call.sequence + kBlock - 1) / kBlock;
  const int64_t pairs = call.sizes.batch * groups;
  parallel_tasks(context, blocks * pairs, [&](int64_t task, int thread) {
    // The last query blocks see the most keys, so the longest tasks start first.
    const int64_t block = blocks - 1 - task / pairs;
    const int64_t pair = task % pairs;
    Workspace of_thread(memory.data() + thread * thread_floats);
    attend(call, Scratches(of_thread, call), pair / groups * call.sequence, pair % groups,
           block * kBlock);
  });
}

}  // namespace remoe::REMOE_TARGET
