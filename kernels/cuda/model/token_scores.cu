// Scores of tokens by the output head: log-softmax of a target and of the largest logit.
//
// As in cross entropy, logits are computed in chunks of the vocabulary, for all scored tokens at
// once, and a warp per token keeps a running maximum, its place and the sum of exponentials.

#include <cmath>

#include "device/block_reduce.h"
#include "model/cross_entropy_chunks.h"
#include "model/held_logits.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

// What is known of a token's logits so far.
struct Running {
  float largest;
  float total;  // sum of exp(z - largest)
  int place;
  float target;  // the target's logit, once seen
};

struct Scores {
  float* log_probability;  // [T]
  int32_t* greedy;
  float* greedy_log_probability;
};

// The tokens that are scored.
struct Listed {
  const int32_t* rows;     // [count], or null
  const int32_t* targets;  // [T]
  int count;
  int tokens;

  // -1 if it is out of range.
  __device__ __forceinline__ int token(int64_t i) const {
    if (rows == nullptr) return static_cast<int>(i);
    const int row = rows[i];
    return row >= 0 && row < tokens ? row : -1;
  }
};

__global__ void __launch_bounds__(kThreads) clear_kernel(Scores scores, int tokens) {
  const int64_t t = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (t >= tokens) return;
  scores.log_probability[t] = NAN;
  scores.greedy[t] = -1;
  scores.greedy_log_probability[t] = NAN;
}

// The listed rows of x, one warp each; those out of range become 0.
template <class T>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(T* gathered, const T* x, Listed listed, IndexCheck check, int hidden) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t i =
      static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  if (i >= listed.count) return;
  const int token = listed.token(i);
  if (token < 0 && lane == 0) check.report(static_cast<int32_t>(i), listed.rows[i]);
  for (int k = lane; k < hidden; k += kWarp) {
    gathered[i * hidden + k] =
        token < 0 ? to_element<T>(0.0f) : x[static_cast<size_t>(token) * hidden + k];
  }
}

// A warp adds a chunk's logits of a token.
template <bool kWide>
__global__ void __launch_bounds__(kThreads)
    add_scores_kernel(Running* running, const float* z, int64_t stride, Listed listed,
                      Chunk chunk) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t i =
      static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  if (i >= listed.count) return;
  const float* row = z + i * stride;
  const int columns = chunk.columns();
  Running all = {-INFINITY, 0.0f, 0, 0.0f};
  if (chunk.begin > 0) all = running[i];
  for (int piece = 0; piece < columns; piece += kPiece) {
    const int first = piece + lane * kWidth;
    HeldLogits held;
    held.load<kWide>(row, first, columns);
    const float before = all.largest;
    all.largest =
        fmaxf(before, warp_reduce(held.maximum(), [](float x, float y) { return fmaxf(x, y); }));
    // If all logits so far are -infinity, the difference of two of them would be NaN.
    const float shift = all.largest == -INFINITY ? 0.0f : all.largest;
    all.total = all.total * expf(before - shift) + warp_sum(held.sum_of_exponentials(shift));
    if (all.largest > before) {
      const int column = held.first_of(all.largest, first);
      all.place = chunk.begin + warp_reduce(column, [](int x, int y) { return x < y ? x : y; });
    }
  }
  __syncwarp();  // all lanes have read what was known
  if (lane != 0) return;
  const int token = listed.token(i);
  const int64_t target = token < 0 ? -1 : static_cast<int64_t>(listed.targets[token]) - chunk.begin;
  if (target >= 0 && target < columns) all.target = row[target];
  running[i] = all;
}

__global__ void __launch_bounds__(kThreads)
    finish_kernel(Scores scores, const Running* running, Listed listed, IndexCheck check,
                  int vocabulary) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= listed.count) return;
  const int token = listed.token(i);
  if (token < 0) return;
  const int32_t target = listed.targets[token];
  if (target >= vocabulary) check.report(token, target);
  if (target < 0 || target >= vocabulary) return;
  const Running all = running[i];
  const float log_total = logf(all.total);
  // NaN where the sum is, and where the largest is -infinity.
  const float greedy = (all.largest - all.largest) - log_total;
  if (!(greedy <= 0.0f)) return;
  scores.log_probability[token] = (all.target - all.largest) - log_total;
  scores.greedy[token] = all.place;
  scores.greedy_log_probability[token] = greedy;
}

[[noreturn]] void fail_at_listed(int32_t row, int32_t position, int32_t tokens) {
  fail(REMOE_OUT_OF_RANGE, "row %d at position %d is outside the %d tokens", row, position, tokens);
}

unsigned warps_for(int count) { return static_cast<unsigned>((count + kWarps - 1) / kWarps); }
unsigned threads_for(int count) {
  return static_cast<unsigned>((int64_t{count} + kThreads - 1) / kThreads);
}

template <class T>
void score(Operation& op, const Scores& scores, const T* x, const T* w, const Listed& listed,
           int hidden, int vocabulary) {
  const Scratch<T> gathered(op, listed.rows == nullptr ? 1 : size_t(listed.count) * hidden);
  if (listed.rows != nullptr) {
    op.launch(gather_kernel<T>, dim3(warps_for(listed.count)), dim3(kThreads), 0, gathered.data(),
              x, listed, op.index_check(fail_at_listed, listed.tokens), hidden);
    x = gathered.data();
  }
  const Chunks chunks(listed.count, vocabulary, kChunkElements);
  const Scratch<float> z(op, static_cast<size_t>(listed.count) * chunks.columns());
  const Scratch<Running> running(op, listed.count);
  const int64_t stride = chunks.columns();
  for (int i = 0; i < chunks.count(); i++) {
    multiply_logits(op, z.data(), stride, x, w, chunks[i], listed.count, hidden, vocabulary);
    op.launch(stride % kWidth == 0 ? add_scores_kernel<true> : add_scores_kernel<false>,
              dim3(warps_for(listed.count)), dim3(kThreads), 0, running.data(), z.data(), stride,
              listed, chunks[i]);
  }
  op.launch(clear_kernel, dim3(threads_for(listed.tokens)), dim3(kThreads), 0, scores,
            listed.tokens);
  op.launch(finish_kernel, dim3(threads_for(listed.count)), dim3(kThreads), 0, scores,
            running.data(), listed, op.index_check(fail_at_target, vocabulary), vocabulary);
}

}  // namespace
}  // namespace remoe

int32_t remoe_token_scores(uint64_t context, int32_t dtype, uint64_t log_probability,
                           uint64_t greedy, uint64_t greedy_log_probability, uint64_t x, uint64_t w,
                           uint64_t targets, uint64_t rows, int32_t count, int32_t tokens,
                           int32_t hidden, int32_t vocabulary) {
  using namespace remoe;
  return guard(context, "token_scores", [&](Operation& op) {
    require_head(tokens, hidden, vocabulary);
    require_size(count, "count");
    require_float(dtype);
    const Scores scores = {
        .log_probability = require_address<float>(log_probability, "log_probability"),
        .greedy = require_address<int32_t>(greedy, "greedy"),
        .greedy_log_probability =
            require_address<float>(greedy_log_probability, "greedy_log_probability")};
    const Listed listed = {.rows = optional_address<const int32_t>(rows, "rows"),
                           .targets = require_address<const int32_t>(targets, "targets"),
                           .count = count,
                           .tokens = tokens};
    require(listed.rows != nullptr || count == tokens,
            "count is %d without rows, but there are %d tokens", count, tokens);
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      score(op, scores, require_address<const T>(x, "x"), require_address<const T>(w, "w"), listed,
            hidden, vocabulary);
    });
  });
}
