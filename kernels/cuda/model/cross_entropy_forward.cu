// Cross entropy's forward pass: the loss and each row's normalizer.

#include <cmath>

#include "device/block_reduce.h"
#include "model/cross_entropy_chunks.h"
#include "model/cross_entropy_tensor_cores.h"
#include "model/held_logits.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
template <class T>
struct ChunkArguments {
  float* normalizer;    // {maximum, sum} so far
  float* target_logit;  // once seen
  T* kept;              // of the chunk, or null
  const float* z;
  const int32_t* targets;
  int64_t stride;  // of z
  int64_t kept_stride;
  int tokens;
  int begin;
  int columns;
  bool is_first;
};

// A warp adds the chunk's logits of a row to its normalizer, and keeps them if they are wanted.
template <class T, bool kWide>
__global__ void __launch_bounds__(kThreads) add_chunk_kernel(ChunkArguments<T> a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t t = static_cast<int64_t>(blockIdx.x) * kWarps + warp;
  if (t >= a.tokens) return;
  const float* row = a.z + t * a.stride;
  float largest = a.is_first ? -INFINITY : a.normalizer[2 * t];
  float total = a.is_first ? 0.0f : a.normalizer[2 * t + 1];
  for (int piece = 0; piece < a.columns; piece += kPiece) {
    const int first = piece + lane * kWidth;
    HeldLogits held;
    held.load<kWide>(row, first, a.columns);
    const float before = largest;
    largest =
        fmaxf(before, warp_reduce(held.maximum(), [](float x, float y) { return fmaxf(x, y); }));
    // If all logits so far are -infinity, the difference of two of them would be NaN.
    const float shift = largest == -INFINITY ? 0.0f : largest;
    total = total * expf(before - shift) + warp_sum(held.sum_of_exponentials(shift));
    if (a.kept != nullptr) held.store<kWide>(a.kept + t * a.kept_stride, first, a.columns);
  }
  __syncwarp();  // all lanes have read the normalizer
  if (lane != 0) return;
  a.normalizer[2 * t] = largest;
  a.normalizer[2 * t + 1] = total;
  const int64_t target = static_cast<int64_t>(a.targets[t]) - a.begin;
  if (target >= 0 && target < a.columns) a.target_logit[t] = row[target];
}

constexpr int kLossThreads = 1024;

struct LossShared {
  double sums[kLossThreads / kWarp];
  int counts[kLossThreads / kWarp];
};

// One block, since there are few tokens beside the logits.
__global__ void __launch_bounds__(kLossThreads)
    mean_loss_kernel(float* loss, float* token_loss, const float* normalizer,
                     const float* target_logit, const int32_t* targets, IndexCheck check,
                     int tokens, int vocabulary) {
  LossShared& shared = gpu::shared<LossShared>();
  double sum = 0;
  int count = 0;
  for (int64_t t = threadIdx.x; t < tokens; t += kLossThreads) {
    const int32_t target = targets[t];
    const bool counts = target >= 0 && target < vocabulary;
    if (target >= vocabulary) check.report(static_cast<int32_t>(t), target);
    const float of_token =
        counts ? logf(normalizer[2 * t + 1]) + (normalizer[2 * t] - target_logit[t]) : 0.0f;
    if (token_loss != nullptr) token_loss[t] = of_token;
    sum += of_token;
    count += counts ? 1 : 0;
  }
  sum = block_sum(sum, shared.sums);
  count = block_sum(count, shared.counts);
  if (threadIdx.x != 0) return;
  loss[0] = count > 0 ? static_cast<float>(sum / count) : 0.0f;
  loss[1] = static_cast<float>(count);
}

template <class T>
struct Forward {
  float* normalizer;
  T* logits;  // or null
  const T* x;
  const T* w;
  const int32_t* targets;
  int tokens;
  int hidden;
  int vocabulary;
  int logit_stride;
};

template <class T>
void add_chunk(Operation& op, const ChunkArguments<T>& a) {
  const bool wide = a.stride % kWidth == 0 && a.kept_stride % kWidth == 0 &&
                    reinterpret_cast<uint64_t>(a.z) % (kWidth * sizeof(float)) == 0 &&
                    reinterpret_cast<uint64_t>(a.kept) % (kWidth * sizeof(T)) == 0;
  op.launch(wide ? add_chunk_kernel<T, true> : add_chunk_kernel<T, false>,
            dim3((a.tokens + kWarps - 1) / kWarps), dim3(kThreads), 0, a);
}

// fp32 logits that are kept are computed where they are kept; others in `scratch`.
template <class T>
void add_logits(Operation& op, const Forward<T>& call, const Chunks& chunks, float* scratch,
                float* target_logit) {
  constexpr bool kInPlace = sizeof(T) == sizeof(float);
  for (int i = 0; i < chunks.count(); i++) {
    const Chunk chunk = chunks[i];
    ChunkArguments<T> a = {.normalizer = call.normalizer,
                           .target_logit = target_logit,
                           .kept = nullptr,
                           .z = scratch,
                           .targets = call.targets,
                           .stride = chunks.columns(),
                           .kept_stride = 0,
                           .tokens = call.tokens,
                           .begin = chunk.begin,
                           .columns = chunk.columns(),
                           .is_first = i == 0};
    float* z = scratch;
    if (call.logits != nullptr) {
      T* kept = call.logits + chunk.begin;
      if constexpr (kInPlace) {
        a.z = z = kept;
        a.stride = call.logit_stride;
      } else {
        a.kept = kept;
        a.kept_stride = call.logit_stride;
      }
    }
    multiply_logits(op, z, a.stride, call.x, call.w, chunk, call.tokens, call.hidden,
                    call.vocabulary);
    add_chunk(op, a);
  }
}

template <class T>
void forward(Operation& op, const Forward<T>& call, float* target_logit) {
  if constexpr (sizeof(T) == sizeof(Bf16)) {
    const BF16Head head = {call.x, call.w, call.targets, call.tokens, call.hidden, call.vocabulary};
    if (fits_tensor_cores(op, head, call.logits, call.logit_stride)) {
      return normalize_logits(op, head, call.normalizer, target_logit, call.logits,
                              call.logit_stride);
    }
  }
  const Chunks chunks(call.tokens, call.vocabulary, kChunkElements);
  const bool in_place = call.logits != nullptr && sizeof(T) == sizeof(float);
  const size_t elements = static_cast<size_t>(call.tokens) * chunks.columns();
  const Scratch<float> scratch(op, in_place ? 1 : elements);
  add_logits(op, call, chunks, scratch.data(), target_logit);
}

}  // namespace
}  // namespace remoe

int32_t remoe_cross_entropy_forward(uint64_t context, int32_t dtype, uint64_t loss,
                                    uint64_t token_loss, uint64_t normalizer, uint64_t logits,
                                    uint64_t x, uint64_t w, uint64_t targets, int32_t tokens,
                                    int32_t hidden, int32_t vocabulary, int32_t logit_stride) {
  using namespace remoe;
  return guard(context, "cross_entropy_forward", [&](Operation& op) {
    require_head(tokens, hidden, vocabulary);
    require_float(dtype);
    require_logits(logits, vocabulary, logit_stride);
    auto* mean = require_address<float>(loss, "loss");
    auto* losses = optional_address<float>(token_loss, "token_loss");
    auto* kept = require_address<float>(normalizer, "normalizer");
    const auto* ids = require_address<const int32_t>(targets, "targets");
    const Scratch<float> target_logit(op, tokens);
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      forward<T>(op,
                 {.normalizer = kept,
                  .logits = optional_address<T>(logits, "logits"),
                  .x = require_address<const T>(x, "x"),
                  .w = require_address<const T>(w, "w"),
                  .targets = ids,
                  .tokens = tokens,
                  .hidden = hidden,
                  .vocabulary = vocabulary,
                  .logit_stride = logit_stride},
                 target_logit.data());
    });
    op.launch(mean_loss_kernel, dim3(1), dim3(kLossThreads), sizeof(LossShared), mean, losses, kept,
              target_logit.data(), ids, op.index_check(fail_at_target, vocabulary), tokens,
              vocabulary);
  });
}
