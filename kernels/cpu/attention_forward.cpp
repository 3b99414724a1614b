// Causal grouped-query attention: softmax(Q K^T / sqrt(head_dim)) V, block by block, with a running
// maximum m and sum l of each query. A block with a larger maximum m' rescales what was summed so
// far by exp(m - m'), so that scores are never held for more than one block.
#include <cmath>

#include "attention_block.h"
#include "kernels.h"
#include "parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// One head's block of queries: what runs along while the keys go by.
struct QueryBlock {
  float* qt;       // [head_dim, kBlock]
  float* out;      // [kBlock, dim]: sum of p v
  float* largest;  // [kBlock]: m, before the scale
  float* total;    // [kBlock]: l

  static int64_t floats(int head_dim) {
    return (head_dim + padded_dim(head_dim) + 2) * int64_t{kBlock};
  }
  QueryBlock(float* memory, int head_dim)
      : qt(memory),
        out(qt + head_dim * int64_t{kBlock}),
        largest(out + padded_dim(head_dim) * kBlock),
        total(largest + kBlock) {}

  void start(const float* q, int64_t stride, int count, int head_dim) {
    copy_transposed(qt, q, stride, count, head_dim);
    std::memset(out, 0, sizeof(float) * padded_dim(head_dim) * kBlock);
    std::fill(largest, largest + kBlock, -std::numeric_limits<float>::infinity());
    std::fill(total, total + kBlock, 0.0f);
  }
};

// Turns scores into p = exp(scale (score - m)) and rescales what the queries have so far.
void softmax_block(const QueryBlock& block, float* scores, int64_t dim, float scale,
                   BlockMask mask) {
  float rescale[kBlock];
  for (int query = 0; query < kBlock; query += kLanes) {
    const int keys = mask.keys_of(query);
    float* column = scores + query;
    const Vec before = load(block.largest + query);
    Vec largest = before;
    if (mask.diagonal) {
      for (int key = query; key < keys; ++key) {
        store(column + key * kBlock, masked(load(column + key * kBlock), query, key));
      }
    }
    for (int key = 0; key < keys; ++key) largest = maximum(largest, load(column + key * kBlock));
    const Vec shift = largest * scale;
    Vec total = {};
    for (int key = 0; key < keys; ++key) {
      const Vec p = exponential(load(column + key * kBlock) * scale - shift);
      store(column + key * kBlock, p);
      total += p;
    }
    const Vec factor = exponential(before * scale - shift);
    store(rescale + query, factor);
    store(block.largest + query, largest);
    store(block.total + query, load(block.total + query) * factor + total);
  }
  for (int query = 0; query < kBlock; ++query) {
    float* row = block.out + query * dim;
    for (int64_t i = 0; i < dim; i += kLanes) store(row + i, load(row + i) * rescale[query]);
  }
}

struct Sizes {
  int sequence;
  int heads;
  int groups;
  int head_dim;
  int64_t stride;
};

// The heads of one group for the queries [first, first + kBlock) of one sequence, whose rows begin
// at `row`. `memory`: a block of keys, one of values, one of scores, and a QueryBlock per head.
void attend(float* out, float* lse, const float* q, const float* k, const float* v,
            const Sizes& sizes, int64_t row, int group, int first, float* memory) {
  const int heads_of_group = sizes.heads / sizes.groups;
  const int64_t dim = padded_dim(sizes.head_dim);
  const float scale = 1.0f / std::sqrt(static_cast<float>(sizes.head_dim));
  float* keys = memory;
  float* values = keys + kBlock * dim;
  float* scores = values + kBlock * dim;
  float* blocks = scores + kBlock * kBlock;
  const auto block_of = [&](int i) {
    return QueryBlock(blocks + i * QueryBlock::floats(sizes.head_dim), sizes.head_dim);
  };
  const auto head_column = [&](int i) {
    return (int64_t{group} * heads_of_group + i) * sizes.head_dim;
  };
  const int count = std::min(kBlock, sizes.sequence - first);
  for (int i = 0; i < heads_of_group; ++i) {
    block_of(i).start(q + (row + first) * sizes.stride + head_column(i), sizes.stride, count,
                      sizes.head_dim);
  }
  // Keys past the end of the sequence are in the diagonal block, where the mask hides them.
  for (int key = 0; key <= first; key += kBlock) {
    const int64_t source = (row + key) * sizes.stride + int64_t{group} * sizes.head_dim;
    const int rows = std::min(kBlock, sizes.sequence - key);
    copy_rows(keys, k + source, sizes.stride, rows, sizes.head_dim);
    copy_rows(values, v + source, sizes.stride, rows, sizes.head_dim);
    const BlockMask mask{key == first};
    for (int i = 0; i < heads_of_group; ++i) {
      const QueryBlock block = block_of(i);
      score_block(scores, keys, block.qt, dim, sizes.head_dim, mask);
      softmax_block(block, scores, dim, scale, mask);
      add_over_keys(block.out, scores, values, dim, mask);
    }
  }
  const int64_t out_stride = int64_t{sizes.heads} * sizes.head_dim;
  for (int i = 0; i < heads_of_group; ++i) {
    const QueryBlock block = block_of(i);
    write_rows(out + (row + first) * out_stride + head_column(i), out_stride, block.out, count,
               sizes.head_dim, [&](int r) { return 1.0f / block.total[r]; });
    if (lse == nullptr) continue;
    for (int r = 0; r < count; ++r) {
      lse[(row + first + r) * sizes.heads + group * heads_of_group + i] =
          block.largest[r] * scale + std::log(block.total[r]);
    }
  }
}

}  // namespace

void attention_forward(Context& context, float* out, float* lse, const float* q, const float* k,
                       const float* v, int batch, int sequence, int heads, int groups, int head_dim,
                       int stride) {
  const Sizes sizes{sequence, heads, groups, head_dim, stride};
  const int64_t thread_floats = 2 * kBlock * padded_dim(head_dim) + kBlock * kBlock +
                                heads / groups * QueryBlock::floats(head_dim);
  Scratch<float> memory(context, context.threads * thread_floats);
  const int64_t blocks = (sequence + kBlock - 1) / kBlock;
  parallel_tasks(context, blocks * batch * groups, [&](int64_t task, int thread) {
    // The last blocks of queries see the most keys: the longest tasks come first.
    const int64_t block = blocks - 1 - task / (int64_t{batch} * groups);
    const int64_t of_block = task % (int64_t{batch} * groups);
    attend(out, lse, q, k, v, sizes, of_block / groups * sequence,
           static_cast<int>(of_block % groups), static_cast<int>(block) * kBlock,
           memory.data() + thread * thread_floats);
  });
}

}  // namespace remoe::REMOE_TARGET
