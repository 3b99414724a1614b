// The gradient of TopK's and expert choice's logits, with those of Switch's load balancing loss and
// of the z-loss.
//
// With S the chosen experts and s = sum of p over S:
//   plain         gate_e = p_e            dp_e = dgate_e
//   renormalised  gate_e = p_e / s        dp_e = (dgate_e - sum_{i in S} dgate_i gate_i) / s
// for e in S, 0 elsewhere. The balance loss c E/(k T^2) sum_e n_e sum_t p_te adds c E n_e/(k T) / T
// to every dp_e (n is a count, constant for the gradient). Softmax: dlogit = p (dp - <dp, p>). The
// z-loss z sum_t lse_t^2 adds 2 z lse_t p_te, since dlse/dlogit = p.

#include "moe/router_input.h"
#include "moe/router_rows.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

struct GradientArguments {
  float* dlogits;
  const float* dgates;
  const float* gates;
  const uint32_t* mask;
  const float* probabilities;
  const float* normalizer;  // not read where z_factor is 0
  const int32_t* counts;
  float balance;  // of one token of an expert
  float z_factor;
  int tokens;
  int experts;
  bool renormalize;
};

template <class Row>
__global__ void __launch_bounds__(kRowThreads, 1) topk_router_gradient_kernel(GradientArguments a) {
  const int token = Row::token();
  if (token >= a.tokens) return;
  const size_t row = static_cast<size_t>(token) * a.experts;
  const uint32_t* mask = a.mask + static_cast<size_t>(token) * mask_words(a.experts);
  const float* dgate = a.dgates + row;
  const float* gate = a.gates + row;
  const float* p = a.probabilities + row;
  RowValues<Row> out(a.dlogits + row);
  float mean = 0.0f, inverse = 1.0f;
  if (a.renormalize) {
    mean = row_sum<Row>(a.experts,
                        [&](int, int e) { return is_routed(mask, e) ? gate[e] * dgate[e] : 0.0f; });
    inverse = 1.0f /
              row_sum<Row>(a.experts, [&](int, int e) { return is_routed(mask, e) ? p[e] : 0.0f; });
  }
  const float projection = row_sum<Row>(a.experts, [&](int i, int e) {
    const float routed = is_routed(mask, e) ? (dgate[e] - mean) * inverse : 0.0f;
    out.at(i, e) = a.balance * static_cast<float>(a.counts[e]) + routed;
    return out.at(i, e) * p[e];
  });
  const float shift = (a.z_factor == 0.0f ? 0.0f : a.z_factor * a.normalizer[token]) - projection;
  for_each_expert<Row>(a.experts,
                       [&](int i, int e) { out.at(i, e) = p[e] * (out.at(i, e) + shift); });
  out.store(a.experts);
}

}  // namespace
}  // namespace remoe

int32_t remoe_topk_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                   uint64_t gates, uint64_t mask, uint64_t probabilities,
                                   uint64_t normalizer, uint64_t counts, double scale,
                                   double z_scale, int32_t tokens, int32_t experts, int32_t active,
                                   int32_t renormalize) {
  using namespace remoe;
  return guard(context, "topk_router_gradient", [&](Operation& op) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require_active(active, experts);
    require(z_scale == 0 || normalizer != 0,
            "the address of normalizer is 0, which only z_scale 0 allows");
    const double fair = static_cast<double>(active) * tokens;
    const GradientArguments a = {
        .dlogits = require_address<float>(dlogits, "dlogits"),
        .dgates = require_address<const float>(dgates, "dgates"),
        .gates = require_address<const float>(gates, "gates"),
        .mask = require_address<const uint32_t>(mask, "mask"),
        .probabilities = require_address<const float>(probabilities, "probabilities"),
        .normalizer = optional_address<const float>(normalizer, "normalizer"),
        .counts = require_address<const int32_t>(counts, "counts"),
        .balance = static_cast<float>(scale * experts / fair),
        .z_factor = static_cast<float>(2 * z_scale),
        .tokens = tokens,
        .experts = experts,
        .renormalize = renormalize != 0,
    };
    with_row_shape(experts, [&](auto row) {
      op.launch(topk_router_gradient_kernel<decltype(row)>, row.grid(tokens), dim3(kRowThreads), 0,
                a);
    });
  });
}
