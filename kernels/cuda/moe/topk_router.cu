// TopK routing: the k largest of the softmax over all experts.

#include "device/block_reduce.h"
#include "moe/choose_largest.h"
#include "moe/router_logits.h"
#include "moe/router_statistics.h"
#include "moe/softmax_row.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

struct TopkArguments {
  float* gates;
  float* probabilities;  // the logits at first
  uint32_t* mask;
  float* normalizer;  // may be 0
  int tokens;
  int experts;
  int active;
  bool renormalize;
};

template <class Row>
__global__ void __launch_bounds__(kRowThreads, 1) topk_router_kernel(TopkArguments a) {
  const int token = Row::token();
  if (token >= a.tokens) return;
  const size_t row = static_cast<size_t>(token) * a.experts;
  uint32_t* mask = a.mask + static_cast<size_t>(token) * mask_words(a.experts);
  RowValues<Row> p(a.probabilities + row);
  RowValues<Row> gate(a.gates + row);
  p.load(a.experts);
  // By logits, since probabilities that underflowed would all tie.
  choose_largest(gate, a.experts, a.active, [&](int i, int e) { return p.at(i, e); });
  const auto is_chosen = [&](int i, int e) { return gate.at(i, e) != 0.0f; };
  write_mask<Row>(mask, a.experts, is_chosen);
  const float z = softmax_in_place(p, a.experts);
  if (a.normalizer != nullptr && Row::lane() == 0) a.normalizer[token] = z;
  float factor = 1.0f;
  if (a.renormalize) {
    factor = 1.0f / row_sum<Row>(a.experts,
                                 [&](int i, int e) { return is_chosen(i, e) ? p.at(i, e) : 0.0f; });
  }
  for_each_expert<Row>(a.experts, [&](int i, int e) {
    gate.at(i, e) = is_chosen(i, e) ? p.at(i, e) * factor : 0.0f;
  });
  p.store(a.experts);
  gate.store(a.experts);
}

constexpr int kSumThreads = 1024;

struct SumShared {
  double warps[kSumThreads / kWarp];
};

// One block, since a token is one number.
__global__ void __launch_bounds__(kSumThreads)
    sum_squares_kernel(float* z_sum, const float* normalizer, int tokens) {
  SumShared& shared = gpu::shared<SumShared>();
  const int thread = static_cast<int>(threadIdx.x);
  double sum = 0;
  for (int t = thread; t < tokens; t += kSumThreads) {
    const double z = normalizer[t];
    sum += z * z;
  }
  sum = block_sum(sum, shared.warps);
  if (thread == 0) *z_sum = static_cast<float>(sum);
}

}  // namespace
}  // namespace remoe

int32_t remoe_topk_router_forward(uint64_t context, int32_t dtype, uint64_t gates,
                                  uint64_t probabilities, uint64_t mask, uint64_t counts,
                                  uint64_t probability_sums, uint64_t normalizer, uint64_t z_sum,
                                  uint64_t x, uint64_t w, int32_t tokens, int32_t hidden,
                                  int32_t experts, int32_t active, int32_t renormalize) {
  using namespace remoe;
  return guard(context, "topk_router_forward", [&](Operation& op) {
    const RouterInput input = {dtype, x, w, tokens, hidden, experts};
    require_router_input(input);
    require_active(active, experts);
    TopkArguments a = {
        .gates = require_address<float>(gates, "gates"),
        .probabilities = require_address<float>(probabilities, "probabilities"),
        .mask = require_address<uint32_t>(mask, "mask"),
        .normalizer = optional_address<float>(normalizer, "normalizer"),
        .tokens = tokens,
        .experts = experts,
        .active = active,
        .renormalize = renormalize != 0,
    };
    auto* total_counts = require_address<int32_t>(counts, "counts");
    auto* sums = require_address<float>(probability_sums, "probability_sums");
    auto* squares = optional_address<float>(z_sum, "z_sum");
    const bool is_lacking = squares != nullptr && a.normalizer == nullptr;
    const Scratch<float> own_normalizer(op, is_lacking ? tokens : 1);
    if (is_lacking) a.normalizer = own_normalizer.data();
    router_logits(op, a.probabilities, input);
    with_row_shape(experts, [&](auto row) {
      op.launch(topk_router_kernel<decltype(row)>, row.grid(tokens), dim3(kRowThreads), 0, a);
    });
    router_statistics(op, total_counts, sums, a.mask, a.probabilities, tokens, experts);
    if (squares == nullptr) return;
    op.launch(sum_squares_kernel, dim3(1), dim3(kSumThreads), sizeof(SumShared), squares,
              a.normalizer, tokens);
  });
}
