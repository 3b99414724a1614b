// The gradient of causal grouped-query attention. With s = scale q k, p = exp(s - lse), o = P V,
// and dO the gradient of o:
//
//   dV = P^T dO
//   dP = dO V^T
//   dS = P * (dP - rowsum(P * dP)) * scale       softmax's gradient
//   dQ = dS K,  dK = dS^T Q
//
// and rowsum(P * dP)_i = sum_j p_ij <dO_i, v_j> = <dO_i, sum_j p_ij v_j> = <dO_i, o_i>, known
// without a pass over the keys. P is computed again, block by block, from the saved log-sum-exp.
//
// A task is one group of one sequence: it goes over the blocks of queries of each head, and sums dK
// and dV of all of them in its own memory, in the order of the queries and then of the heads.
#include <cmath>

#include "attention_block.h"
#include "kernels.h"
#include "parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

struct Gradient {
  float* dq;
  float* dk;
  float* dv;
  const float* dout;
  const float* out;
  const float* lse;
  const float* q;
  const float* k;
  const float* v;
  int sequence;
  int heads;
  int groups;
  int head_dim;
  int64_t stride;

  int64_t dim() const { return padded_dim(head_dim); }
  int64_t blocks() const { return (sequence + kBlock - 1) / kBlock; }
};

// A thread's memory: keys and values of the whole sequence and their gradients, in blocks; and one
// head's block of queries.
struct Memory {
  float *keys, *values, *dkeys, *dvalues;  // [blocks * kBlock, dim]
  float *q, *dout, *dq;                    // [kBlock, dim]
  float *qt, *dout_t;                      // [head_dim, kBlock]
  float *p, *ds;                           // [keys, queries]
  float *lse, *projection;                 // [kBlock]; projection: <dO, o>

  static int64_t floats(const Gradient& call) {
    return kBlock * (call.dim() * (4 * call.blocks() + 3) + 2 * call.head_dim + 2 * kBlock + 2);
  }
  Memory(float* memory, const Gradient& call) {
    const auto take = [&](int64_t rows) { return std::exchange(memory, memory + rows * kBlock); };
    for (float** all : {&keys, &values, &dkeys, &dvalues}) *all = take(call.blocks() * call.dim());
    for (float** block : {&q, &dout, &dq}) *block = take(call.dim());
    for (float** transposed : {&qt, &dout_t}) *transposed = take(call.head_dim);
    for (float** square : {&p, &ds}) *square = take(kBlock);
    for (float** vector : {&lse, &projection}) *vector = take(1);
  }
};

// Loads a block of queries of one head, its rows from `row` on.
void load_queries(const Gradient& call, const Memory& memory, int64_t row, int head, int count) {
  const int64_t column = int64_t{head} * call.head_dim;
  const int64_t out_stride = int64_t{call.heads} * call.head_dim;
  const float* q = call.q + row * call.stride + column;
  const float* dout = call.dout + row * out_stride + column;
  const float* out = call.out + row * out_stride + column;
  copy_rows(memory.q, q, call.stride, count, call.head_dim);
  copy_transposed(memory.qt, q, call.stride, count, call.head_dim);
  copy_rows(memory.dout, dout, out_stride, count, call.head_dim);
  copy_transposed(memory.dout_t, dout, out_stride, count, call.head_dim);
  std::memset(memory.dq, 0, sizeof(float) * kBlock * call.dim());
  for (int r = 0; r < count; ++r) {
    float projection = 0;
    for (int i = 0; i < call.head_dim; ++i) {
      projection += dout[r * out_stride + i] * out[r * out_stride + i];
    }
    memory.projection[r] = projection;
    memory.lse[r] = call.lse[(row + r) * call.heads + head];
  }
  // Rows past the end of the sequence: p = exp(0 - infinity) = 0.
  for (int r = count; r < kBlock; ++r) {
    memory.projection[r] = 0;
    memory.lse[r] = std::numeric_limits<float>::infinity();
  }
}

// From scores in p and dP in ds to p and dS.
void softmax_gradient_block(const Memory& memory, float scale, BlockMask mask) {
  for (int key = 0; key < kBlock; ++key) {
    for (int query = mask.first_query(key); query < kBlock; query += kLanes) {
      float* at_p = memory.p + key * kBlock + query;
      float* at_ds = memory.ds + key * kBlock + query;
      Vec s = load(at_p) * scale;
      if (mask.diagonal) s = masked(s, query, key);
      const Vec p = exponential(s - load(memory.lse + query));
      store(at_p, p);
      store(at_ds, p * (load(at_ds) - load(memory.projection + query)) * scale);
    }
  }
}

void head_gradient(const Gradient& call, const Memory& memory, int64_t row, int head, int first) {
  const int count = std::min(kBlock, call.sequence - first);
  const int64_t dim = call.dim();
  const float scale = 1.0f / std::sqrt(static_cast<float>(call.head_dim));
  load_queries(call, memory, row + first, head, count);
  for (int key = 0; key <= first; key += kBlock) {
    const BlockMask mask{key == first};
    score_block(memory.p, memory.keys + key * dim, memory.qt, dim, call.head_dim, mask);
    score_block(memory.ds, memory.values + key * dim, memory.dout_t, dim, call.head_dim, mask);
    softmax_gradient_block(memory, scale, mask);
    add_over_queries(memory.dvalues + key * dim, memory.p, memory.dout, dim, mask);
    add_over_queries(memory.dkeys + key * dim, memory.ds, memory.q, dim, mask);
    add_over_keys(memory.dq, memory.ds, memory.keys + key * dim, dim, mask);
  }
  write_rows(call.dq + (row + first) * call.stride + int64_t{head} * call.head_dim, call.stride,
             memory.dq, count, call.head_dim, [](int) { return 1.0f; });
}

void group_gradient(const Gradient& call, const Memory& memory, int64_t row, int group) {
  const int64_t dim = call.dim();
  const int64_t column = int64_t{group} * call.head_dim;
  const int heads_of_group = call.heads / call.groups;
  const auto each_block = [&](auto&& body) {
    for (int first = 0; first < call.sequence; first += kBlock) {
      body(first, std::min(kBlock, call.sequence - first), (row + first) * call.stride + column);
    }
  };
  each_block([&](int first, int count, int64_t at) {
    copy_rows(memory.keys + first * dim, call.k + at, call.stride, count, call.head_dim);
    copy_rows(memory.values + first * dim, call.v + at, call.stride, count, call.head_dim);
  });
  std::memset(memory.dkeys, 0, sizeof(float) * call.blocks() * kBlock * dim);
  std::memset(memory.dvalues, 0, sizeof(float) * call.blocks() * kBlock * dim);
  for (int first = 0; first < call.sequence; first += kBlock) {
    for (int i = 0; i < heads_of_group; ++i) {
      head_gradient(call, memory, row, group * heads_of_group + i, first);
    }
  }
  each_block([&](int first, int count, int64_t at) {
    const auto unscaled = [](int) { return 1.0f; };
    write_rows(call.dk + at, call.stride, memory.dkeys + first * dim, count, call.head_dim,
               unscaled);
    write_rows(call.dv + at, call.stride, memory.dvalues + first * dim, count, call.head_dim,
               unscaled);
  });
}

}  // namespace

void attention_gradient(Context& context, float* dq, float* dk, float* dv, const float* dout,
                        const float* out, const float* lse, const float* q, const float* k,
                        const float* v, int batch, int sequence, int heads, int groups,
                        int head_dim, int stride) {
  const Gradient call{dq, dk, dv,       dout,  out,    lse,      q,
                      k,  v,  sequence, heads, groups, head_dim, stride};
  const int64_t thread_floats = Memory::floats(call);
  Scratch<float> memory(context, context.threads * thread_floats);
  parallel_tasks(context, int64_t{batch} * groups, [&](int64_t task, int thread) {
    group_gradient(call, Memory(memory.data() + thread * thread_floats, call),
                   task / groups * sequence, static_cast<int>(task % groups));
  });
}

}  // namespace remoe::REMOE_TARGET
