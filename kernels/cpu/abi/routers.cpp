// Routers: gates from tokens, and their gradient.
#include "per_isa/kernels.h"

using namespace remoe;

extern "C" {

int32_t remoe_relu_router_forward(uint64_t context, uint64_t gates, uint64_t mask, uint64_t counts,
                                  uint64_t gate_sums, uint64_t x, uint64_t w, int32_t tokens,
                                  int32_t hidden, int32_t experts) {
  return guard(context, "relu_router_forward", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(experts, "experts");
    REMOE_DISPATCH(
        open, relu_router_forward, require_address<float>(gates, "gates"),
        optional_address<int32_t>(mask, "mask"), require_address<int32_t>(counts, "counts"),
        require_address<float>(gate_sums, "gate_sums"), require_address<const float>(x, "x"),
        require_address<const float>(w, "w"), tokens, hidden, experts);
  });
}

int32_t remoe_relu_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                   uint64_t gates, uint64_t counts, uint64_t lambda,
                                   int32_t balance, double active, double scale, int32_t tokens,
                                   int32_t experts) {
  return guard(context, "relu_router_gradient", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require(balance == REMOE_BALANCE_NONE || balance == REMOE_BALANCE_PLAIN ||
                balance == REMOE_BALANCE_LOAD,
            REMOE_INVALID_ARGUMENT,
            "balance is %d, but a ReLU router has none (0), plain (1) or load (2)", balance);
    require(balance == REMOE_BALANCE_NONE || lambda != 0, REMOE_INVALID_ARGUMENT,
            "the address of lambda is 0, which only balance 0 allows");
    require(balance != REMOE_BALANCE_LOAD || counts != 0, REMOE_INVALID_ARGUMENT,
            "the address of counts is 0, but balance %d weights experts by them", balance);
    require(balance != REMOE_BALANCE_LOAD || active > 0, REMOE_INVALID_ARGUMENT,
            "active is %g, but must be above 0", active);
    REMOE_DISPATCH(open, relu_router_gradient, require_address<float>(dlogits, "dlogits"),
                   require_address<const float>(dgates, "dgates"),
                   require_address<const float>(gates, "gates"),
                   optional_address<const int32_t>(counts, "counts"),
                   optional_address<const double>(lambda, "lambda"), balance, active, scale, tokens,
                   experts);
  });
}

int32_t remoe_topk_router_forward(uint64_t context, uint64_t gates, uint64_t probabilities,
                                  uint64_t mask, uint64_t counts, uint64_t probability_sums,
                                  uint64_t x, uint64_t w, int32_t tokens, int32_t hidden,
                                  int32_t experts, int32_t active, int32_t renormalize) {
  return guard(context, "topk_router_forward", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(experts, "experts");
    require(active >= 1 && active <= experts, REMOE_INVALID_ARGUMENT,
            "active is %d, but a token has 1 to %d of %d experts", active, experts, experts);
    REMOE_DISPATCH(open, topk_router_forward, require_address<float>(gates, "gates"),
                   require_address<float>(probabilities, "probabilities"),
                   optional_address<int32_t>(mask, "mask"),
                   require_address<int32_t>(counts, "counts"),
                   require_address<float>(probability_sums, "probability_sums"),
                   require_address<const float>(x, "x"), require_address<const float>(w, "w"),
                   tokens, hidden, experts, active, renormalize != 0);
  });
}

int32_t remoe_topk_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                   uint64_t gates, uint64_t probabilities, uint64_t counts,
                                   double scale, int32_t tokens, int32_t experts, int32_t active,
                                   int32_t renormalize) {
  return guard(context, "topk_router_gradient", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require(active >= 1 && active <= experts, REMOE_INVALID_ARGUMENT,
            "active is %d, but a token has 1 to %d of %d experts", active, experts, experts);
    REMOE_DISPATCH(open, topk_router_gradient, require_address<float>(dlogits, "dlogits"),
                   require_address<const float>(dgates, "dgates"),
                   require_address<const float>(gates, "gates"),
                   require_address<const float>(probabilities, "probabilities"),
                   require_address<const int32_t>(counts, "counts"), scale, tokens, experts, active,
                   renormalize != 0);
  });
}
}
