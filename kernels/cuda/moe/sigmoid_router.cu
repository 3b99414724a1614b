// Sigmoid routing (DeepSeek-V3, arXiv:2412.19437, equations 13 to 16): the k experts with the
// largest score + bias, gated by their scores alone.

#include <cmath>

#include "moe/choose_largest.h"
#include "moe/router_logits.h"
#include "moe/router_statistics.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

// Added to the sum of a token's scores, which may all underflow; as DeepSeek-V3's code does.
constexpr float kEpsilon = 1e-20f;

struct SigmoidArguments {
  float* gates;
  float* scores;  // the logits at first
  uint32_t* mask;
  const float* bias;  // may be 0
  int tokens;
  int experts;
  int active;
  bool normalize;
};

template <class Row>
__global__ void __launch_bounds__(kRowThreads, 1) sigmoid_router_kernel(SigmoidArguments a) {
  const int token = Row::token();
  if (token >= a.tokens) return;
  const size_t row = static_cast<size_t>(token) * a.experts;
  uint32_t* mask = a.mask + static_cast<size_t>(token) * mask_words(a.experts);
  RowValues<Row> score(a.scores + row);
  RowValues<Row> gate(a.gates + row);
  score.load(a.experts);
  for_each_expert<Row>(
      a.experts, [&](int i, int e) { score.at(i, e) = 1.0f / (1.0f + expf(-score.at(i, e))); });
  choose_largest(gate, a.experts, a.active, [&](int i, int e) {
    return score.at(i, e) + (a.bias == nullptr ? 0.0f : a.bias[e]);
  });
  const auto is_chosen = [&](int i, int e) { return gate.at(i, e) != 0.0f; };
  write_mask<Row>(mask, a.experts, is_chosen);
  float factor = 1.0f;
  if (a.normalize) {
    const float total = row_sum<Row>(
        a.experts, [&](int i, int e) { return is_chosen(i, e) ? score.at(i, e) : 0.0f; });
    factor = 1.0f / (total + kEpsilon);
  }
  for_each_expert<Row>(a.experts, [&](int i, int e) {
    gate.at(i, e) = is_chosen(i, e) ? score.at(i, e) * factor : 0.0f;
  });
  score.store(a.experts);
  gate.store(a.experts);
}

struct GradientArguments {
  float* dlogits;
  const float* dgates;
  const float* gates;
  const uint32_t* mask;
  const float* scores;
  int tokens;
  int experts;
  bool normalize;
};

// With S the chosen experts, v = sum of their scores and c the epsilon:
//   plain       gate_e = s_e            ds_e = dgate_e
//   normalised  gate_e = s_e / (v + c)  ds_e = (dgate_e - sum_{i in S} dgate_i gate_i) / (v + c)
// for e in S, 0 elsewhere. Sigmoid: dlogit = ds s (1 - s).
template <class Row>
__global__ void __launch_bounds__(kRowThreads, 1)
    sigmoid_router_gradient_kernel(GradientArguments a) {
  const int token = Row::token();
  if (token >= a.tokens) return;
  const size_t row = static_cast<size_t>(token) * a.experts;
  const uint32_t* mask = a.mask + static_cast<size_t>(token) * mask_words(a.experts);
  const float* dgate = a.dgates + row;
  const float* gate = a.gates + row;
  const float* score = a.scores + row;
  float mean = 0.0f, inverse = 1.0f;
  if (a.normalize) {
    mean = row_sum<Row>(a.experts,
                        [&](int, int e) { return is_routed(mask, e) ? gate[e] * dgate[e] : 0.0f; });
    const float total =
        row_sum<Row>(a.experts, [&](int, int e) { return is_routed(mask, e) ? score[e] : 0.0f; });
    inverse = 1.0f / (total + kEpsilon);
  }
  for_each_expert<Row>(a.experts, [&](int, int e) {
    const float s = score[e];
    a.dlogits[row + e] = is_routed(mask, e) ? (dgate[e] - mean) * inverse * s * (1.0f - s) : 0.0f;
  });
}

}  // namespace
}  // namespace remoe

int32_t remoe_sigmoid_router_forward(uint64_t context, int32_t dtype, uint64_t gates,
                                     uint64_t scores, uint64_t mask, uint64_t counts,
                                     uint64_t score_sums, uint64_t bias, uint64_t x, uint64_t w,
                                     int32_t tokens, int32_t hidden, int32_t experts,
                                     int32_t active, int32_t normalize) {
  using namespace remoe;
  return guard(context, "sigmoid_router_forward", [&](Operation& op) {
    const RouterInput input = {dtype, x, w, tokens, hidden, experts};
    require_router_input(input);
    require_active(active, experts);
    const SigmoidArguments a = {
        .gates = require_address<float>(gates, "gates"),
        .scores = require_address<float>(scores, "scores"),
        .mask = require_address<uint32_t>(mask, "mask"),
        .bias = optional_address<const float>(bias, "bias"),
        .tokens = tokens,
        .experts = experts,
        .active = active,
        .normalize = normalize != 0,
    };
    auto* total_counts = require_address<int32_t>(counts, "counts");
    auto* sums = require_address<float>(score_sums, "score_sums");
    router_logits(op, a.scores, input);
    with_row_shape(experts, [&](auto row) {
      op.launch(sigmoid_router_kernel<decltype(row)>, row.grid(tokens), dim3(kRowThreads), 0, a);
    });
    router_statistics(op, total_counts, sums, a.mask, a.scores, tokens, experts);
  });
}

int32_t remoe_sigmoid_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                      uint64_t gates, uint64_t mask, uint64_t scores,
                                      int32_t tokens, int32_t experts, int32_t normalize) {
  using namespace remoe;
  return guard(context, "sigmoid_router_gradient", [&](Operation& op) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    const GradientArguments a = {
        .dlogits = require_address<float>(dlogits, "dlogits"),
        .dgates = require_address<const float>(dgates, "dgates"),
        .gates = require_address<const float>(gates, "gates"),
        .mask = require_address<const uint32_t>(mask, "mask"),
        .scores = require_address<const float>(scores, "scores"),
        .tokens = tokens,
        .experts = experts,
        .normalize = normalize != 0,
    };
    with_row_shape(experts, [&](auto row) {
      op.launch(sigmoid_router_gradient_kernel<decltype(row)>, row.grid(tokens), dim3(kRowThreads),
                0, a);
    });
  });
}
