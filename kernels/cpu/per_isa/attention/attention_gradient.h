// Gradient of causal grouped-query attention. With s = (scale q) k, p = exp(s - m) / l, o = P V,
// and dO the gradient of o:
//
//   dV = P^T dO
//   dP = dO V^T
//   dS = P * (dP - rowsum(P * dP))       softmax's gradient
//   dQ = scale dS K,  dK = dS^T (scale Q)
//
// and rowsum(P * dP)_i = sum_j p_ij <dO_i, v_j> = <dO_i, sum_j p_ij v_j> = <dO_i, o_i>, which needs
// no pass over the keys. P is recomputed, block by block, from the saved m and l. On load, each
// query's 1/l is folded into its dO and, with fp32 tiles, the scale into q, since everything above
// is linear in them.
//
// A task is one group of one sequence. It goes over the query blocks of each head and accumulates
// dK and dV in its own scratch, in the order of the queries and then of the heads.
#pragma once

#include <cmath>

#include "per_isa/attention/attention_arguments.h"
#include "per_isa/attention/attention_block.h"
#include "per_isa/attention/operand_tiles.h"
#include "per_isa/attention/score_scale.h"
#include "per_isa/gemm/workspace.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace gradient {

// State shared by the tasks of one call.
template <class T>
struct Gradient : GradientCall<T> {
  int64_t sequence;
  int64_t heads;
  int64_t groups;
  int64_t head_dim;
  int64_t stride;
  float scale;

  explicit Gradient(const GradientCall<T>& call)
      : GradientCall<T>(call),
        sequence(call.sizes.sequence),
        heads(call.sizes.heads),
        groups(call.sizes.groups),
        head_dim(call.sizes.head_dim),
        stride(call.sizes.stride),
        scale(1.0f / std::sqrt(static_cast<float>(head_dim))) {}

  int64_t blocks() const { return (sequence + kBlock - 1) / kBlock; }
};

// A block of keys in the forms that products take: lanes along the rows and from row to row. Those
// are the same for fp32.
template <class E>
struct KeyTiles {
  TileOf<E> along;   // [kBlock, lanes]
  TileOf<E> across;  // [lanes of keys, head_dim]

  KeyTiles(Workspace& memory, int64_t head_dim)
      : along(memory.tile<E>(kBlock, lanes_of<E>(head_dim))),
        across(kPerLane<E> == 1 ? along : memory.tile<E>(kBlock / kPerLane<E>, head_dim)) {}
};

// A block of the whole sequence's keys and values, and of their gradients.
template <class E>
struct KeyBlock {
  KeyTiles<E> keys;
  TileOf<E> values;          // [kBlock, lanes]
  CacheTile dkeys, dvalues;  // [kBlock, head_dim]

  template <class T>
  KeyBlock(Workspace& memory, const Gradient<T>& call)
      : keys(memory, call.head_dim),
        values(memory.tile<E>(kBlock, lanes_of<E>(call.head_dim))),
        dkeys(memory.tile(kBlock, call.head_dim)),
        dvalues(memory.tile(kBlock, call.head_dim)) {}
};

// A thread's scratch: the blocks of keys, and one head's block of queries.
template <class E>
struct Memory {
  float* key_blocks;
  int64_t block_floats;
  TileOf<E> q, dout;            // [lanes of queries, head_dim]: scale q, dO / l
  TileOf<E> qt, dout_t;         // [lanes, kBlock]
  CacheTile dq;                 // [kBlock, head_dim]: sum of dS K
  CacheTile p, ds;              // [keys, queries]: scores, dP / l
  TileOf<E> ds_across;          // [lanes of keys, queries]: dS, for dq
  float *largest, *projection;  // [kBlock]; projection: <dO, o> / l

  template <class T>
  Memory(Workspace& memory, const Gradient<T>& call)
      : block_floats(layout_floats<KeyBlock<E>>(call)) {
    key_blocks = memory.take(call.blocks() * block_floats);
    const int64_t lanes = lanes_of<E>(call.head_dim);
    for (TileOf<E>* tile : {&q, &dout}) *tile = memory.tile<E>(kBlock / kPerLane<E>, call.head_dim);
    for (TileOf<E>* tile : {&qt, &dout_t}) *tile = memory.tile<E>(lanes, kBlock);
    dq = memory.tile(kBlock, call.head_dim);
    for (CacheTile* tile : {&p, &ds}) *tile = memory.tile(kBlock, kBlock);
    ds_across = kPerLane<E> == 1 ? in_place_of(ds) : memory.tile<E>(kBlock / kPerLane<E>, kBlock);
    for (float** vector : {&largest, &projection}) *vector = memory.take(kBlock);
  }
  // The block of keys starting at row `first`.
  template <class T>
  KeyBlock<E> block(const Gradient<T>& call, int64_t first) const {
    Workspace of_block(key_blocks + first / kBlock * block_floats);
    return KeyBlock<E>(of_block, call);
  }
  // [keys, lanes of queries] in the memory of `tile`: p l, or dS for dk.
  static TileOf<E> in_place_of(const CacheTile& tile) {
    return {reinterpret_cast<Lane<E>*>(tile.data), tile.rows};
  }
};

// x as it is in tiles of operands.
template <class E>
REMOE_INLINE Vec as_operand(Vec x) {
  return kPerLane<E> == 1 ? x : VectorAccess{}.round(x);
}

// Loads one head's block of queries, starting at `row`.
template <class T, class E>
void load_queries(const Gradient<T>& call, const Memory<E>& memory, int64_t row, int64_t head,
                  int64_t count) {
  const int64_t column = head * call.head_dim;
  const int64_t out_stride = call.heads * call.head_dim;
  const T* q = call.q + row * call.stride + column;
  const T* dout = call.dout + row * out_stride + column;
  const T* out = call.out + row * out_stride + column;
  const float* pairs = call.normalizer + 2 * (row * call.heads + head);
  const auto inverse = [&](int64_t r) {
    return r < count ? 1.0f / pairs[2 * r * call.heads + 1] : 0.0f;
  };
  const auto scale = ScoreScale<E>(call.scale).of_queries();
  copy_across(memory.q, q, call.stride, count, call.head_dim, scale);
  copy_transposed(memory.qt, q, call.stride, count, call.head_dim, scale);
  copy_across(memory.dout, dout, out_stride, count, call.head_dim, inverse);
  copy_transposed(memory.dout_t, dout, out_stride, count, call.head_dim, inverse);
  clear(memory.dq, call.head_dim);
  // Rows past the end of the sequence have q = 0 and dO = 0, so they add nothing for any finite m.
  std::fill(memory.largest, memory.largest + kBlock, 0.0f);
  std::fill(memory.projection, memory.projection + kBlock, 0.0f);
  for (int64_t r = 0; r < count; ++r) {
    Vec projection = {};
    const float factor = inverse(r);
    for (int64_t c = 0; c < call.head_dim; c += kLanes) {
      const int64_t left = call.head_dim - c;
      const auto read = [&](const T* x) {
        const T* at = x + r * out_stride + c;
        return left >= kLanes ? load(at) : load_partial(at, left);
      };
      projection += as_operand<E>(read(dout) * factor) * read(out);
    }
    memory.projection[r] = sum(projection);
    memory.largest[r] = pairs[2 * r * call.heads];
  }
}

// Turns scores in p and dP / l in ds into p l and dS, as operands.
template <class E>
void softmax_gradient_block(const Memory<E>& memory, BlockMask mask, ScoreScale<E> scale) {
  for (int key = 0; key < kBlock; key += kPerLane<E>) {
    for (int query = mask.first_query(key); query < kBlock; query += kLanes) {
      Vec ds[kPerLane<E>];
      for (int i = 0; i < kPerLane<E>; ++i) {
        float* at_p = memory.p.at(key + i, query);
        float* at_ds = memory.ds.at(key + i, query);
        Vec p = bounded_exponential(scale(load(at_p)) - load(memory.largest + query));
        p = mask.select(query, key + i, p, 0.0f);
        ds[i] = p * (load(at_ds) - load(memory.projection + query));
        // Pairs take the place of elements that were read before.
        store(reinterpret_cast<E*>(memory.p.at(key + i, 0)) + query, p);
        store(reinterpret_cast<E*>(memory.ds.at(key + i, 0)) + query, ds[i]);
      }
      if constexpr (kPerLane<E> == 2) {
        store(memory.ds_across.at(key / 2, query), interleave(ds[0], ds[1]));
      }
    }
  }
}

template <class T, class E>
void head_gradient(const Gradient<T>& call, const Memory<E>& memory, int64_t row, int64_t head,
                   int64_t first) {
  const int64_t count = std::min<int64_t>(kBlock, call.sequence - first);
  const int64_t head_dim = call.head_dim;
  const TileOf<E> p = memory.in_place_of(memory.p), ds = memory.in_place_of(memory.ds);
  load_queries(call, memory, row + first, head, count);
  for (int64_t key = 0; key <= first; key += kBlock) {
    const BlockMask mask{key == first};
    const KeyBlock<E> block = memory.block(call, key);
    score_block(memory.p, block.keys.along, memory.qt, head_dim, mask);
    score_block(memory.ds, block.values, memory.dout_t, head_dim, mask);
    softmax_gradient_block(memory, mask, ScoreScale<E>(call.scale));
    add_over_queries(block.dvalues, p, memory.dout, head_dim, mask);
    add_over_queries(block.dkeys, ds, memory.q, head_dim, mask);
    add_over_keys(memory.dq, memory.ds_across, block.keys.across, head_dim, mask);
  }
  write_rows(call.dq + (row + first) * call.stride + head * head_dim, call.stride, memory.dq, count,
             head_dim, [&](int64_t) { return call.scale; });
}

template <class T, class E>
void group_gradient(const Gradient<T>& call, const Memory<E>& memory, int64_t row, int64_t group) {
  const int64_t heads_of_group = call.heads / call.groups, head_dim = call.head_dim;
  const auto each_block = [&](auto&& body) {
    for (int64_t first = 0; first < call.sequence; first += kBlock) {
      body(memory.block(call, first), std::min<int64_t>(kBlock, call.sequence - first),
           (row + first) * call.stride + group * head_dim);
    }
  };
  each_block([&](const KeyBlock<E>& block, int64_t count, int64_t at) {
    copy_along(block.keys.along, call.k + at, call.stride, count, head_dim);
    if constexpr (kPerLane<E> != 1) {
      copy_across(block.keys.across, call.k + at, call.stride, count, head_dim, Unscaled{});
    }
    copy_along(block.values, call.v + at, call.stride, count, head_dim);
    clear(block.dkeys, head_dim);
    clear(block.dvalues, head_dim);
  });
  for (int64_t first = 0; first < call.sequence; first += kBlock) {
    for (int64_t i = 0; i < heads_of_group; ++i) {
      head_gradient(call, memory, row, group * heads_of_group + i, first);
    }
  }
  const float scale = ScoreScale<E>(call.scale).of_sums();
  each_block([&](const KeyBlock<E>& block, int64_t count, int64_t at) {
    write_rows(call.dk + at, call.stride, block.dkeys, count, head_dim,
               [=](int64_t) { return scale; });
    write_rows(call.dv + at, call.stride, block.dvalues, count, head_dim, Unscaled{});
  });
}

}  // namespace gradient

template <class T>
void differentiate_all(Context& context, const GradientCall<T>& arguments) {
  using namespace gradient;
  using Scratches = Memory<TileElement<T>>;
  const Gradient<T> call(arguments);
  const int64_t thread_floats = layout_floats<Scratches>(call);
  Scratch<float> memory(context, context.threads * thread_floats);
  parallel_tasks(context, call.sizes.batch * call.groups, [&](int64_t task, int thread) {
    Workspace of_thread(memory.data() + thread * thread_floats);
    group_gradient(call, Scratches(of_thread, call), task / call.groups * call.sequence,
                   task % call.groups);
  });
}

}  // namespace remoe::REMOE_TARGET
