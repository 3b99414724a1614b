// SparseMixer-v2 routing (GRIN, arXiv:2409.12136): experts drawn from a masked softmax, and the
// estimator that stands in for the gradient of drawing them.
#include <cmath>

#include "per_isa/kernel.h"
#include "per_isa/moe/router_tile.h"
#include "per_isa/moe/routing_mask.h"
#include "runtime/dtype.h"
#include "runtime/expert_weight.h"

namespace remoe::REMOE_TARGET {
namespace {

// Scratch of one tile of tokens: two rows per tile, since bodies of parallel loops cannot allocate.
class ChoiceRows {
 public:
  ChoiceRows(Context& context, int tokens, int experts)
      : experts_(experts),
        rows_(context,
              std::size_t{2} * ((tokens + kRouterTile - 1) / kRouterTile) * std::size_t(experts)) {}

  // Not 0 for the experts that the token's earlier choices took.
  float* taken(int64_t tile) { return rows_.data() + 2 * tile * experts_; }
  // exp(s - m), p before it is normalised.
  float* exponentials(int64_t tile) { return taken(tile) + experts_; }

 private:
  int experts_;
  Scratch<float> rows_;
};

// One choice of a token: m and its place, the mask's threshold, and 1 over the sum that makes p.
struct Choice {
  int best;
  float largest;
  float width;
  float inverse;

  // Not by a division, so that two logits of 0, or an infinite m, keep the expert.
  bool keeps(float logit) const {
    return !(largest - logit > width * maximum(std::abs(logit), largest));
  }
};

// Finds m among the experts not taken yet, ties to the lower one, fills `exponentials` with
// exp(s - m) of every expert, and adds up those that the mask keeps.
Choice choice_of(float* exponentials, const float* logits, const float* taken, int experts,
                 float width) {
  Choice choice{-1, 0, width, 0};
  for (int e = 0; e < experts; ++e) {
    if (taken[e] != 0.0f || (choice.best >= 0 && !(logits[e] > choice.largest))) continue;
    choice.best = e;
    choice.largest = logits[e];
  }
  const float largest = choice.largest;
  map(exponentials, logits, experts, [=](Vec v) { return exponential(v - largest); });
  float total = 0;
  for (int e = 0; e < experts; ++e) {
    if (taken[e] == 0.0f && choice.keeps(logits[e])) total += exponentials[e];
  }
  choice.inverse = 1.0f / total;
  return choice;
}

// The first choice's m is that of all experts, so its exponentials also give the softmax of all.
float inverse_of_all(const float* exponentials, int experts) {
  float total = 0;
  for (int e = 0; e < experts; ++e) total += exponentials[e];
  return 1.0f / total;
}

// argmax of s - log(-log u), as an exponential race: the same expert has the largest exp(s - m) /
// -log(u), which takes one logarithm.
int draw(const Choice& choice, const float* exponentials, const float* logits, const float* taken,
         const float* noise, int experts) {
  int drawn = -1;
  float best = 0;
  for (int e = 0; e < experts; ++e) {
    if (taken[e] != 0.0f || !choice.keeps(logits[e])) continue;
    // u = 0 gives 0, and can still be drawn where it is the only expert left.
    const float score = noise[e] > 0 ? exponentials[e] / -logarithm(noise[e]) : 0.0f;
    if (drawn >= 0 && !(score > best)) continue;
    drawn = e;
    best = score;
  }
  return drawn;
}

}  // namespace

void sparsemixer_router_forward(Context& context, float* gates, float* logits, int32_t* order,
                                int32_t* mask, int32_t* counts, float* probability_sums,
                                const float* noise, Activations x, const float* w, int tokens,
                                int hidden, int experts, int active, double jitter) {
  RouterStatistics statistics(context, tokens, experts);
  ChoiceRows rows(context, tokens, experts);
  const int words = mask_words(experts);
  const float width = static_cast<float>(2 * jitter);
  for_each_logit_tile(
      context, logits, x, w, tokens, hidden, experts, [&](int begin, int end, int64_t tile) {
        int32_t* tile_counts = statistics.counts(tile);
        float* tile_sums = statistics.sums(tile);
        float* taken = rows.taken(tile);
        float* p = rows.exponentials(tile);
        for (int64_t t = begin; t < end; ++t) {
          const float* s = logits + t * experts;
          float* gate = gates + t * experts;
          for (int e = 0; e < experts; ++e) gate[e] = taken[e] = 0.0f;
          for (int64_t c = t * active; c < (t + 1) * active; ++c) {
            const Choice choice = choice_of(p, s, taken, experts, width);
            if (c == t * active) {
              const float inverse = inverse_of_all(p, experts);
              for (int e = 0; e < experts; ++e) tile_sums[e] += p[e] * inverse;
            }
            int chosen = choice.best;
            bool is_whole = true;
            if (noise != nullptr) {
              const float* u = noise + c * (experts + 1);
              chosen = draw(choice, p, s, taken, u, experts);
              is_whole = chosen == choice.best || u[experts] > 0.75f;
            }
            gate[chosen] = p[chosen] * choice.inverse * (is_whole ? 1.0f : 1.0f / 3.0f);
            taken[chosen] = 1.0f;
            order[c] = chosen;
          }
          write_mask(mask + t * words, tile_counts, taken, experts);
        }
      });
  statistics.reduce(counts, probability_sums);
}

// Each choice i of a token adds dgate_i p_i (delta_ij - p_j) to the logits that its mask kept: the
// gradient of p_i itself, without Heun's factor. The balance loss of the softmax q over all logits,
// as in topk_router_gradient, adds q (b - <b, q>) with b_e = scale E n_e / (k T).
void sparsemixer_router_gradient(Context& context, float* dlogits, const float* dgates,
                                 const float* logits, const int32_t* order, const int32_t* counts,
                                 double scale, double jitter, int tokens, int experts, int active) {
  Scratch<float> balance(context, experts);
  for (int e = 0; e < experts; ++e) {
    const double f = expert_weight(REMOE_BALANCE_SWITCH, counts, e, experts, active, tokens);
    balance[e] = static_cast<float>(scale * f);
  }
  ChoiceRows rows(context, tokens, experts);
  const float width = static_cast<float>(2 * jitter);
  const int64_t tiles = (tokens + kRouterTile - 1) / kRouterTile;
  parallel_tasks(context, tiles, [&](int64_t tile, int) {
    float* taken = rows.taken(tile);
    float* p = rows.exponentials(tile);
    const int64_t end = std::min<int64_t>(tokens, (tile + 1) * kRouterTile);
    for (int64_t t = tile * kRouterTile; t < end; ++t) {
      const float* s = logits + t * experts;
      float* out = dlogits + t * experts;
      for (int e = 0; e < experts; ++e) taken[e] = 0.0f;
      for (int64_t c = t * active; c < (t + 1) * active; ++c) {
        const Choice choice = choice_of(p, s, taken, experts, width);
        if (c == t * active) {
          const float inverse = inverse_of_all(p, experts);
          float mean = 0;
          for (int e = 0; e < experts; ++e) mean += balance[e] * p[e];
          mean *= inverse;
          for (int e = 0; e < experts; ++e) out[e] = p[e] * inverse * (balance[e] - mean);
        }
        // A caller's order must not make the library write outside its buffers.
        const int chosen = std::clamp(order[c], 0, experts - 1);
        const float weight = dgates[t * experts + chosen] * p[chosen] * choice.inverse;
        const float share = weight * choice.inverse;
        for (int e = 0; e < experts; ++e) {
          if (taken[e] == 0.0f && choice.keeps(s[e])) out[e] -= share * p[e];
        }
        out[chosen] += weight;
        taken[chosen] = 1.0f;
      }
    }
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(sparsemixer_router_forward)
REMOE_KERNEL(sparsemixer_router_gradient)

using namespace remoe;

namespace {

void require_choices(int32_t active, int32_t experts, double jitter) {
  require_size(experts, "experts");
  require(active >= 1 && active <= experts, REMOE_INVALID_ARGUMENT,
          "active is %d, but a token has 1 to %d of %d experts", active, experts, experts);
  require(jitter >= 0, REMOE_INVALID_ARGUMENT, "jitter is %g, but must not be negative", jitter);
}

}  // namespace

int32_t remoe_sparsemixer_router_forward(uint64_t context, int32_t dtype, uint64_t gates,
                                         uint64_t logits, uint64_t order, uint64_t mask,
                                         uint64_t counts, uint64_t probability_sums, uint64_t noise,
                                         uint64_t x, uint64_t w, int32_t tokens, int32_t hidden,
                                         int32_t experts, int32_t active, double jitter) {
  return guard(context, "sparsemixer_router_forward", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_choices(active, experts, jitter);
    REMOE_DISPATCH(
        open, sparsemixer_router_forward, require_address<float>(gates, "gates"),
        require_address<float>(logits, "logits"), require_address<int32_t>(order, "order"),
        require_address<int32_t>(mask, "mask"), require_address<int32_t>(counts, "counts"),
        require_address<float>(probability_sums, "probability_sums"),
        optional_address<const float>(noise, "noise"), require_activations(x, dtype, "x"),
        require_address<const float>(w, "w"), tokens, hidden, experts, active, jitter);
  });
}

int32_t remoe_sparsemixer_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                          uint64_t logits, uint64_t order, uint64_t counts,
                                          double scale, double jitter, int32_t tokens,
                                          int32_t experts, int32_t active) {
  return guard(context, "sparsemixer_router_gradient", [&](Context& open) {
    require_size(tokens, "tokens");
    require_choices(active, experts, jitter);
    REMOE_DISPATCH(open, sparsemixer_router_gradient, require_address<float>(dlogits, "dlogits"),
                   require_address<const float>(dgates, "dgates"),
                   require_address<const float>(logits, "logits"),
                   require_address<const int32_t>(order, "order"),
                   require_address<const int32_t>(counts, "counts"), scale, jitter, tokens, experts,
                   active);
  });
}
#endif  // REMOE_ENTRY_POINTS
