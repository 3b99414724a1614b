// Cross entropy's forward pass: the loss and each row's normalizer.
#include <algorithm>
#include <cmath>
#include <limits>

#include "per_isa/model/cross_entropy_arguments.h"
#include "per_isa/model/cross_entropy_chunks.h"
#include "per_isa/model/logit_row.h"
#include "per_isa/simd/elements.h"
#include "runtime/dtype.h"

namespace remoe::REMOE_TARGET {
namespace {

// Per row: the maximum and sum so far, and the logit of its target once seen.
struct Running {
  float* largest;
  float* total;
  float* target_logit;

  void add(int64_t t, const float* z, Chunk chunk, int32_t target) const {
    const float before = largest[t];
    const float now = std::max(before, row_maximum(z, chunk.columns()));
    if (target >= chunk.begin && target < chunk.end) target_logit[t] = z[target - chunk.begin];
    // If all logits so far are -infinity, the difference of two of them would be NaN.
    const float shift = now == -std::numeric_limits<float>::infinity() ? 0.0f : now;
    total[t] =
        total[t] * exponential(before - shift) + sum_of_exponentials(z, chunk.columns(), shift);
    largest[t] = now;
  }
};

template <class T>
void forward(Context& context, const Running& running, T* logits, const T* x, const T* w,
             const int32_t* targets, int tokens, int hidden, int vocabulary, int logit_stride) {
  const Chunks chunks(context, vocabulary, kChunkColumns);
  const bool kept = logits != nullptr, in_place = kept && kInPlace<T>;
  const int64_t tile_floats = in_place ? 0 : int64_t{kTileTokens} * chunks.columns();
  Scratch<float> tiles(context, context.threads * tile_floats);
  Scratch<Lane<T>> packed(context, packed_size<T>(context, hidden, chunks.columns()));
  for (int i = 0; i < chunks.count(); ++i) {
    const Chunk chunk = chunks[i];
    const int n = chunk.columns();
    pack_on_all_threads<T>(context, hidden, n, {w + chunk.begin, vocabulary}, packed.data());
    for_each_tile(context, tokens, [&](int64_t begin, int64_t end, int thread) {
      LogitTile z{tiles.data() + thread * tile_floats, n};
      T* keep = kept ? logits + begin * logit_stride + chunk.begin : nullptr;
      if constexpr (kInPlace<T>) {
        if (kept) z = {keep, logit_stride};
      }
      gemm_packed(context, static_cast<int>(end - begin), n, hidden, 1.0f,
                  OperandOf<T>{x + begin * hidden, hidden}, packed.data(), 0.0f, z.data, z.stride);
      for (int64_t t = begin; t < end; ++t) {
        running.add(t, z.row(t - begin), chunk, targets[t]);
        if (kept && !in_place) {
          convert_run(keep + (t - begin) * logit_stride, z.row(t - begin), n);
        }
      }
    });
  }
}

}  // namespace

void cross_entropy_forward(Context& context, int32_t dtype, float* loss, float* token_loss,
                           float* normalizer, void* logits, const void* x, const void* w,
                           const int32_t* targets, int tokens, int hidden, int vocabulary,
                           int logit_stride) {
  Scratch<float> state(context, int64_t{3} * tokens);
  const Running running{state.data(), state.data() + tokens, state.data() + 2 * int64_t{tokens}};
  std::fill(running.largest, running.largest + tokens, -std::numeric_limits<float>::infinity());
  std::fill(running.total, running.total + tokens, 0.0f);
  with_element(dtype, [&]<class T>() {
    forward(context, running, static_cast<T*>(logits), static_cast<const T*>(x),
            static_cast<const T*>(w), targets, tokens, hidden, vocabulary, logit_stride);
  });

  double total = 0;
  int64_t count = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    const float largest = running.largest[t], sum = running.total[t];
    normalizer[2 * t] = largest;
    normalizer[2 * t + 1] = sum;
    const float of_token =
        targets[t] < 0 ? 0.0f : std::log(sum) + (largest - running.target_logit[t]);
    if (token_loss != nullptr) token_loss[t] = of_token;
    total += of_token;
    count += targets[t] >= 0;
  }
  loss[0] = count > 0 ? static_cast<float>(total / static_cast<double>(count)) : 0.0f;
  loss[1] = static_cast<float>(count);
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(cross_entropy_forward)

using namespace remoe;

int32_t remoe_cross_entropy_forward(uint64_t context, int32_t dtype, uint64_t loss,
                                    uint64_t token_loss, uint64_t normalizer, uint64_t logits,
                                    uint64_t x, uint64_t w, uint64_t targets, int32_t tokens,
                                    int32_t hidden, int32_t vocabulary, int32_t logit_stride) {
  return guard(context, "cross_entropy_forward", [&](Context& open) {
    require_head(tokens, hidden, vocabulary);
    require_float(dtype);
    require_logits(logits, vocabulary, logit_stride);
    REMOE_DISPATCH(open, cross_entropy_forward, dtype, require_address<float>(loss, "loss"),
                   optional_address<float>(token_loss, "token_loss"),
                   require_address<float>(normalizer, "normalizer"),
                   optional_elements(logits, dtype, "logits"), require_elements(x, dtype, "x"),
                   require_elements(w, dtype, "w"), require_targets(targets, tokens, vocabulary),
                   tokens, hidden, vocabulary, logit_stride);
  });
}
#endif  // REMOE_ENTRY_POINTS
