// The instance of a router's product for its sizes and addresses.
#pragma once

#include "moe/router_product.h"

namespace remoe {

// Runs body(shape, wide) with the shape of the blocks and kWide as constants. As few experts as
// there are, so that little is multiplied by zeros; from 64 on, a warp's rows of tokens share what
// it reads of W. Rows that start anywhere are rare enough for one shape.
template <class Body>
void with_router_shape(int experts, bool is_wide, Body&& body) {
  if (!is_wide) {
    body(RouterShape<1, 4, 1, 1>{}, std::false_type{});
  } else if (experts <= 8) {
    body(RouterShape<1, 1, 1, 2>{}, std::true_type{});
  } else if (experts <= 16) {
    body(RouterShape<1, 2, 1, 2>{}, std::true_type{});
  } else if (experts <= 32) {
    body(RouterShape<1, 4, 1, 1>{}, std::true_type{});
  } else if (experts <= 64) {
    body(RouterShape<2, 4, 2, 1>{}, std::true_type{});
  } else {
    body(RouterShape<2, 4, 4, 1>{}, std::true_type{});
  }
}

// Enqueues the split of W, if any, and runs body(operands, shape, wide), which is to launch a
// kernel of these.
template <class Body>
void with_router_product(Operation& op, const RouterInput& input, Body&& body) {
  with_activations(input.dtype, [&](auto element) {
    using T = decltype(element);
    const bool is_wide = input.hidden % (16 / sizeof(T)) == 0 && input.x % 16 == 0;
    RouterOperands<T> a = {
        .x = require_address<const T>(input.x, "x"),
        .w = require_address<const float>(input.w, "w"),
        .weights = nullptr,
        .weight_tiles = 0,
        .tokens = input.tokens,
        .hidden = input.hidden,
        .experts = input.experts,
    };
    with_router_shape(input.experts, is_wide, [&](auto shape, auto wide) {
      if constexpr (shape.kSplitsBefore) {
        const SplitWeights weights(op, input, shape.kTileCount);
        a.weights = weights.data();
        a.weight_tiles = weights.tiles();
        body(a, shape, wide);
      } else {
        body(a, shape, wide);
      }
    });
  });
}

}  // namespace remoe
