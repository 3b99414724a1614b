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
// query's 1/l is folded into its dO and the scale into q, since everything above is linear in them.
//
// A task is one group of one sequence. It goes over the query blocks of each head and accumulates
// dK and dV in its own scratch, in the order of the queries and then of the heads.
#pragma once

#include <cmath>

#include "per_isa/attention/attention_arguments.h"
#include "per_isa/attention/attention_block.h"
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

// A thread's scratch: keys and values of the whole sequence and their gradients, one tile per
// block, and one head's block of queries.
struct Memory {
  float *keys, *values, *dkeys, *dvalues;
  CacheTile q, dout, dq;        // [kBlock, head_dim]: scale q, dO / l, sum of dS K
  CacheTile qt, dout_t;         // [head_dim, kBlock]
  CacheTile p, ds;              // [keys, queries]: p l, dS
  float *largest, *projection;  // [kBlock]; projection: <dO, o> / l
  int64_t block_floats;

  template <class T>
  Memory(Workspace& memory, const Gradient<T>& call)
      : block_floats(CacheTile::floats(kBlock, call.head_dim)) {
    for (float** all : {&keys, &values, &dkeys, &dvalues}) {
      *all = memory.take(call.blocks() * block_floats);
    }
    for (CacheTile* tile : {&q, &dout, &dq}) *tile = memory.tile(kBlock, call.head_dim);
    for (CacheTile* tile : {&qt, &dout_t}) *tile = memory.tile(call.head_dim, kBlock);
    for (CacheTile* tile : {&p, &ds}) *tile = memory.tile(kBlock, kBlock);
    for (float** vector : {&largest, &projection}) *vector = memory.take(kBlock);
  }
  // The tile of the block starting at row `first` in `of`, one of keys, values, dkeys, dvalues.
  CacheTile block(float* of, int64_t first) const {
    return {of + first / kBlock * block_floats, kBlock};
  }
};

// Loads one head's block of queries, starting at `row`.
template <class T>
void load_queries(const Gradient<T>& call, const Memory& memory, int64_t row, int64_t head,
                  int64_t count) {
  const int64_t column = head * call.head_dim;
  const int64_t out_stride = call.heads * call.head_dim;
  const T* q = call.q + row * call.stride + column;
  const T* dout = call.dout + row * out_stride + column;
  const T* out = call.out + row * out_stride + column;
  copy_rows(memory.q, q, call.stride, count, call.head_dim);
  copy_transposed(memory.qt, q, call.stride, count, call.head_dim);
  copy_rows(memory.dout, dout, out_stride, count, call.head_dim);
  copy_transposed(memory.dout_t, dout, out_stride, count, call.head_dim);
  clear(memory.dq, call.head_dim);
  const float* pairs = call.normalizer + 2 * (row * call.heads + head);
  const auto inverse = [&](int64_t r) {
    return r < count ? 1.0f / pairs[2 * r * call.heads + 1] : 0.0f;
  };
  const auto scale = [&](int64_t) { return call.scale; };
  scale_rows(memory.q, call.head_dim, scale);
  scale_transposed(memory.qt, call.head_dim, scale);
  scale_rows(memory.dout, call.head_dim, inverse);
  scale_transposed(memory.dout_t, call.head_dim, inverse);
  // Rows past the end of the sequence have q = 0 and dO = 0, so they add nothing for any finite m.
  std::fill(memory.largest, memory.largest + kBlock, 0.0f);
  std::fill(memory.projection, memory.projection + kBlock, 0.0f);
  for (int64_t r = 0; r < count; ++r) {
    Vec projection = {};
    for (int64_t c = 0; c < call.head_dim; c += kLanes) {
      const int64_t left = call.head_dim - c;
      const T* o = out + r * out_stride + c;
      projection += load(memory.dout.at(r, c)) * (left >= kLanes ? load(o) : load_partial(o, left));
    }
    memory.projection[r] = sum(projection);
    memory.largest[r] = pairs[2 * r * call.heads];
  }
}

// Turns scores in p and dP / l in ds into p l and dS.
inline void softmax_gradient_block(const Memory& memory, BlockMask mask) {
  for (int key = 0; key < kBlock; ++key) {
    for (int query = mask.first_query(key); query < kBlock; query += kLanes) {
      float* at_p = memory.p.at(key, query);
      float* at_ds = memory.ds.at(key, query);
      Vec p = bounded_exponential(load(at_p) - load(memory.largest + query));
      p = mask.select(query, key, p, 0.0f);
      store(at_p, p);
      store(at_ds, p * (load(at_ds) - load(memory.projection + query)));
    }
  }
}

template <class T>
void head_gradient(const Gradient<T>& call, const Memory& memory, int64_t row, int64_t head,
                   int64_t first) {
  const int64_t count = std::min<int64_t>(kBlock, call.sequence - first);
  const int64_t head_dim = call.head_dim;
  load_queries(call, memory, row + first, head, count);
  for (int64_t key = 0; key <= first; key += kBlock) {
    const BlockMask mask{key == first};
    const CacheTile keys = memory.block(memory.keys, key);
    score_block(memory.p, keys, memory.qt, head_dim, mask);
    score_block(memory.ds, memory.block(memory.values, key), memory.dout_t, head_dim, mask);
    softmax_gradient_block(memory, mask);
    add_over_queries(memory.block(memory.dvalues, key), memory.p, memory.dout, head_dim, mask);
    add_over_queries(memory.block(memory.dkeys, key), memory.ds, memory.q, head_dim, mask);
    add_over_keys(memory.dq, memory.ds, keys, head_dim, mask);
  }
  write_rows(call.dq + (row + first) * call.stride + head * head_dim, call.stride, memory.dq, count,
             head_dim, [&](int64_t) { return call.scale; });
}

template <class T>
void group_gradient(const Gradient<T>& call, const Memory& memory, int64_t row, int64_t group) {
  const int64_t heads_of_group = call.heads / call.groups;
  const auto each_block = [&](auto&& body) {
    for (int64_t first = 0; first < call.sequence; first += kBlock) {
      body(first, std::min<int64_t>(kBlock, call.sequence - first),
           (row + first) * call.stride + group * call.head_dim);
    }
  };
  each_block([&](int64_t first, int64_t count, int64_t at) {
    copy_rows(memory.block(memory.keys, first), call.k + at, call.stride, count, call.head_dim);
    copy_rows(memory.block(memory.values, first), call.v + at, call.stride, count, call.head_dim);
    clear(memory.block(memory.dkeys, first), call.head_dim);
    clear(memory.block(memory.dvalues, first), call.head_dim);
  });
  for (int64_t first = 0; first < call.sequence; first += kBlock) {
    for (int64_t i = 0; i < heads_of_group; ++i) {
      head_gradient(call, memory, row, group * heads_of_group + i, first);
    }
  }
  each_block([&](int64_t first, int64_t count, int64_t at) {
    const auto unscaled = [](int64_t) { return 1.0f; };
    write_rows(call.dk + at, call.stride, memory.block(memory.dkeys, first), count, call.head_dim,
               unscaled);
    write_rows(call.dv + at, call.stride, memory.block(memory.dvalues, first), count, call.head_dim,
               unscaled);
  });
}

}  // namespace gradient

template <class T>
void differentiate_all(Context& context, const GradientCall<T>& arguments) {
  using namespace gradient;
  const Gradient<T> call(arguments);
  const int64_t thread_floats = layout_floats<Memory>(call);
  Scratch<float> memory(context, context.threads * thread_floats);
  parallel_tasks(context, call.sizes.batch * call.groups, [&](int64_t task, int thread) {
    Workspace of_thread(memory.data() + thread * thread_floats);
    group_gradient(call, Memory(of_thread, call), task / call.groups * call.sequence,
                   task % call.groups);
  });
}

}  // namespace remoe::REMOE_TARGET
