// The experts of a mixture, forward: y_t = sum_e gate_te FFN_e(x_t).
//
// A tile of an expert's rows goes through everything while it is in cache: the rows of x are
// gathered into the panels of the first product, its result h is written where the gradient will
// look for it and read at once by SwiGLU, whose result is the operand of the second product. Only
// the rows of the second product [N,D] go through memory, to be summed by token.
#include "combine.h"
#include "expert_weights.h"
#include "kernels.h"
#include "swiglu.h"

namespace remoe::REMOE_TARGET {
namespace {

// What the tiles of one call share.
struct Forward {
  const float* x;
  const float* gates;
  const int32_t* row_token;
  float* rows;  // [N,D]: gate * FFN(x) of each row
  int hidden;
  int width;
  int experts;
};

// `h` [rows, 2W] and `a` [rows, W] are the tile's.
void forward_tile(const Forward& call, const ExpertTile& tile, ExpertWeights& w1, ExpertWeights& w2,
                  float* h, float* a) {
  const int64_t width = call.width;
  const int32_t* token = call.row_token + tile.begin;
  w1.multiply(tile.expert, tile.rows(), {call.x, call.hidden, false, token}, h, 2 * width);
  for (int r = 0; r < tile.rows(); ++r) {
    // The gate would scale fewer elements after the second product, but these are in registers.
    const float gate = call.gates[int64_t{token[r]} * call.experts + tile.expert];
    swiglu_row(a + r * width, h + 2 * r * width, call.width, gate);
  }
  w2.multiply(tile.expert, tile.rows(), {a, width}, call.rows + int64_t{tile.begin} * call.hidden,
              call.hidden);
}

}  // namespace

void experts_forward(Context& context, float* y, float* h, const float* x, const float* w1,
                     const float* w2, const float* gates, const int32_t* plan_words, int tokens,
                     int hidden, int width, int experts) {
  const Plan plan(plan_words, tokens, experts);
  Scratch<float> rows(context, int64_t{plan.rows()} * hidden);
  const Forward call{x, gates, plan.row_token(), rows.data(), hidden, width, experts};

  // Of each thread: the tile's a, and its h where none is kept.
  const int64_t a_floats = int64_t{kExpertTileRows} * width;
  const int64_t thread_floats = a_floats + (h == nullptr ? 2 * a_floats : 0);
  Scratch<float> scratch(context, context.threads * thread_floats);

  const int routed_experts = plan.rows() > 0 ? experts : 0;
  for (int next = 0; next < routed_experts;) {
    const ExpertGroup group = next_group(plan, next, experts, 0, int64_t{3} * hidden * width);
    ExpertTiles tiles(context, plan, group);
    ExpertWeights first(context, plan, group, w1, hidden, 2 * width, false);
    ExpertWeights second(context, plan, group, w2, width, hidden, false);
    parallel_tasks(context, tiles.count(), [&](int64_t task, int thread) {
      const ExpertTile& tile = tiles[task];
      float* a = scratch.data() + thread * thread_floats;
      float* tile_h = h == nullptr ? a + a_floats : h + int64_t{2} * tile.begin * width;
      forward_tile(call, tile, first, second, tile_h, a);
    });
    next = group.end;
  }
  combine(context, y, rows.data(), plan, tokens, hidden, false);
}

}  // namespace remoe::REMOE_TARGET
