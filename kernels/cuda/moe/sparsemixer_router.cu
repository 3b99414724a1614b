// SparseMixer-v2 routing (GRIN, arXiv:2409.12136): experts drawn from a masked softmax.

#include "moe/router_logits.h"
#include "moe/router_statistics.h"
#include "moe/sparsemixer_choice.h"

namespace remoe {
namespace {

struct SparseMixerArguments {
  float* gates;
  float* logits;
  float* probabilities;  // the softmax over all logits
  float* taken;          // only where rows lie in memory
  int32_t* order;
  uint32_t* mask;
  const float* noise;  // 0: evaluation
  int tokens;
  int experts;
  int active;
  float width;
};

// argmax of s - log(-log u), as an exponential race: the same expert has the largest exp(s - m) /
// -log(u), which takes one logarithm.
template <class Row>
__device__ __forceinline__ int draw(const Choice<Row>& choice, ChoiceRow<Row>& row,
                                    const float* noise) {
  return find_largest<Row>(
      row.experts, [&](int i, int e) { return choice.keeps(row, i, e); },
      [&](int i, int e) {
        // u = 0 gives 0, and can still be drawn where it is the only expert left.
        return noise[e] > 0.0f ? choice.exponential(row, i, e) / -logf(noise[e]) : 0.0f;
      });
}

template <class Row>
__global__ void __launch_bounds__(kRowThreads, 1)
    sparsemixer_router_kernel(SparseMixerArguments a) {
  const int token = Row::token();
  if (token >= a.tokens) return;
  const size_t first = static_cast<size_t>(token) * a.experts;
  ChoiceRow<Row> row(a.logits + first, a.taken + first, a.experts, a.width);
  RowValues<Row> gate(a.gates + first);
  for_each_expert<Row>(a.experts, [&](int i, int e) { gate.at(i, e) = 0.0f; });
  for (int k = 0; k < a.active; k++) {
    const size_t place = static_cast<size_t>(token) * a.active + k;
    const Choice<Row> choice(row);
    if (k == 0) {
      const float inverse = choice.inverse_of_all(row);
      for_each_expert<Row>(a.experts, [&](int i, int e) {
        a.probabilities[first + e] = choice.exponential(row, i, e) * inverse;
      });
    }
    int chosen = choice.best;
    bool is_whole = true;
    if (a.noise != nullptr) {
      const float* u = a.noise + place * (a.experts + 1);
      chosen = draw(choice, row, u);
      is_whole = chosen == choice.best || u[a.experts] > 0.75f;
    }
    for_each_expert<Row>(a.experts, [&](int i, int e) {
      if (e != chosen) return;
      const float p = choice.exponential(row, i, e) * choice.inverse;
      gate.at(i, e) = p * (is_whole ? 1.0f : 1.0f / 3.0f);
    });
    row.take(chosen);
    if (Row::lane() == 0) a.order[place] = chosen;
  }
  gate.store(a.experts);
  write_mask<Row>(a.mask + static_cast<size_t>(token) * mask_words(a.experts), a.experts,
                  [&](int i, int e) { return !row.is_free(i, e); });
}

struct GradientArguments {
  float* dlogits;
  const float* dgates;
  float* logits;
  float* taken;  // only where rows lie in memory
  const int32_t* order;
  const int32_t* counts;
  float balance;  // of one token of an expert
  int tokens;
  int experts;
  int active;
  float width;
};

// The balance loss of the softmax q over all logits, as in topk_router_gradient, adds
// q (b - <b, q>) with b_e = scale E n_e / (k T).
template <class Row>
__device__ __forceinline__ void start_from_balance(RowValues<Row>& out, const Choice<Row>& choice,
                                                   ChoiceRow<Row>& row,
                                                   const GradientArguments& a) {
  const float inverse = choice.inverse_of_all(row);
  const auto balance = [&](int e) { return a.balance * static_cast<float>(a.counts[e]); };
  const float mean = inverse * row_sum<Row>(a.experts, [&](int i, int e) {
                       return balance(e) * choice.exponential(row, i, e);
                     });
  for_each_expert<Row>(a.experts, [&](int i, int e) {
    out.at(i, e) = choice.exponential(row, i, e) * inverse * (balance(e) - mean);
  });
}

// Each choice i of a token adds dgate_i p_i (delta_ij - p_j) to the logits that its mask kept: the
// gradient of p_i itself, without Heun's factor.
template <class Row>
__global__ void __launch_bounds__(kRowThreads, 1)
    sparsemixer_router_gradient_kernel(GradientArguments a) {
  const int token = Row::token();
  if (token >= a.tokens) return;
  const size_t first = static_cast<size_t>(token) * a.experts;
  ChoiceRow<Row> row(a.logits + first, a.taken + first, a.experts, a.width);
  RowValues<Row> out(a.dlogits + first);
  for (int k = 0; k < a.active; k++) {
    const Choice<Row> choice(row);
    if (k == 0) start_from_balance(out, choice, row, a);
    // A caller's order must not make the kernel read outside its buffers.
    const int asked = a.order[static_cast<size_t>(token) * a.active + k];
    const int chosen = asked < 0 ? 0 : asked < a.experts ? asked : a.experts - 1;
    const float p = expf(row.logit_of(chosen) - choice.largest) * choice.inverse;
    const float weight = a.dgates[first + chosen] * p;
    const float share = weight * choice.inverse;
    for_each_expert<Row>(a.experts, [&](int i, int e) {
      if (choice.keeps(row, i, e)) out.at(i, e) -= share * choice.exponential(row, i, e);
      if (e == chosen) out.at(i, e) += weight;
    });
    row.take(chosen);
  }
  out.store(a.experts);
}

void require_choices(int32_t active, int32_t experts, double jitter) {
  require_active(active, experts);
  require(jitter >= 0, "jitter is %g, but must not be negative", jitter);
}

// Elements of a scratch [T, E] that only rows in memory need.
size_t taken_elements(int tokens, int experts) {
  return row_is_in_memory(experts) ? static_cast<size_t>(tokens) * experts : 1;
}

}  // namespace
}  // namespace remoe

int32_t remoe_sparsemixer_router_forward(uint64_t context, int32_t dtype, uint64_t gates,
                                         uint64_t logits, uint64_t order, uint64_t mask,
                                         uint64_t counts, uint64_t probability_sums, uint64_t noise,
                                         uint64_t x, uint64_t w, int32_t tokens, int32_t hidden,
                                         int32_t experts, int32_t active, double jitter) {
  using namespace remoe;
  return guard(context, "sparsemixer_router_forward", [&](Operation& op) {
    const RouterInput input = {dtype, x, w, tokens, hidden, experts};
    require_router_input(input);
    require_choices(active, experts, jitter);
    auto* total_counts = require_address<int32_t>(counts, "counts");
    auto* sums = require_address<float>(probability_sums, "probability_sums");
    SparseMixerArguments a = {
        .gates = require_address<float>(gates, "gates"),
        .logits = require_address<float>(logits, "logits"),
        .probabilities = nullptr,
        .taken = nullptr,
        .order = require_address<int32_t>(order, "order"),
        .mask = require_address<uint32_t>(mask, "mask"),
        .noise = optional_address<const float>(noise, "noise"),
        .tokens = tokens,
        .experts = experts,
        .active = active,
        .width = static_cast<float>(2 * jitter),
    };
    const Scratch<float> probabilities(op, static_cast<size_t>(tokens) * experts);
    const Scratch<float> taken(op, taken_elements(tokens, experts));
    a.probabilities = probabilities.data();
    a.taken = taken.data();
    router_logits(op, a.logits, input);
    with_row_shape(experts, [&](auto row) {
      op.launch(sparsemixer_router_kernel<decltype(row)>, row.grid(tokens), dim3(kRowThreads), 0,
                a);
    });
    router_statistics(op, total_counts, sums, a.mask, a.probabilities, tokens, experts);
  });
}

int32_t remoe_sparsemixer_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                          uint64_t logits, uint64_t order, uint64_t counts,
                                          double scale, double jitter, int32_t tokens,
                                          int32_t experts, int32_t active) {
  using namespace remoe;
  return guard(context, "sparsemixer_router_gradient", [&](Operation& op) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require_choices(active, experts, jitter);
    const Scratch<float> taken(op, taken_elements(tokens, experts));
    const double fair = static_cast<double>(active) * tokens;
    const GradientArguments a = {
        .dlogits = require_address<float>(dlogits, "dlogits"),
        .dgates = require_address<const float>(dgates, "dgates"),
        .logits = require_address<float>(logits, "logits"),
        .taken = taken.data(),
        .order = require_address<const int32_t>(order, "order"),
        .counts = require_address<const int32_t>(counts, "counts"),
        .balance = static_cast<float>(scale * experts / fair),
        .tokens = tokens,
        .experts = experts,
        .active = active,
        .width = static_cast<float>(2 * jitter),
    };
    with_row_shape(experts, [&](auto row) {
      op.launch(sparsemixer_router_gradient_kernel<decltype(row)>, row.grid(tokens),
                dim3(kRowThreads), 0, a);
    });
  });
}
