// The gradient of the experts. With A = silu(g) * u of the pre-activations h = (g | u), a row of
// token t and expert e contributes y_t += gate (A W2), hence, for dY = dy_t,
//
//   dA' = dY W2^T                      the gradient of A but for the gate
//   dgate = <dY, A W2> = <dY W2^T, A> = <dA', A>   so A W2 is neither kept nor computed again
//   dA = gate dA'
//   dg = dA * u * silu'(g),  du = dA * silu(g),  dH = (dg | du)
//   dx_t += dH W1^T
//   dW1_e = sum over the expert's rows of x_t^T dH
//   dW2_e = sum over the expert's rows of (gate A)^T dY
//
// Experts are worked in groups. First, tile by tile of rows, everything but the weights: dH and
// gate A of the group's rows are kept. Then the weights' gradients, in blocks of columns of dW1
// and of rows of dW2 with all of the expert's rows as the inner dimension: every element is summed
// by one thread in the order of the rows.
#include <cstring>

#include "combine.h"
#include "expert_weights.h"
#include "kernels.h"
#include "swiglu.h"

namespace remoe::REMOE_TARGET {
namespace {

// Bits of `accumulate`.
enum : int { kDx = 1, kDw1 = 2, kDw2 = 4, kDgates = 8 };

struct Gradient {
  float* dw1;
  float* dw2;
  float* dgates;
  const float* dy;
  const float* h;
  const float* x;
  const float* gates;
  const Plan* plan;
  float* dx_rows;  // [N,D], or null where dx is not wanted
  int hidden;
  int width;
  int experts;
  int accumulate;
};

// What the first pass over a group leaves for the second: of each row, dH [2W] and gate A [W].
struct GroupRows {
  int begin;
  float* dh;
  float* gated;
};

// One row of dH and gate A from dA'; returns <dA', A>.
float activation_gradient(float* dh, float* gated, const float* da, const float* h, int width,
                          float gate) {
  const auto element = [&](auto da_i, auto g, auto u, auto write) {
    const auto d = swiglu_derivative(da_i * gate, g, u);
    write(d.dg, d.du, d.activation * gate);
    return da_i * d.activation;
  };
  Vec dot = {};
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    dot += element(load(da + i), load(h + i), load(h + width + i), [&](Vec dg, Vec du, Vec a) {
      store(dh + i, dg);
      store(dh + width + i, du);
      store(gated + i, a);
    });
  }
  float tail = 0;
  for (; i < width; ++i) {
    tail += element(da[i], h[i], h[width + i], [&](float dg, float du, float a) {
      dh[i] = dg;
      dh[width + i] = du;
      gated[i] = a;
    });
  }
  return sum(dot) + tail;
}

// `da` [rows, W] is the thread's; w2 and w1 multiply by the transposed weights.
void gradient_tile(const Gradient& call, const ExpertTile& tile, const GroupRows& group,
                   ExpertWeights& w2, ExpertWeights& w1, float* da) {
  const int64_t width = call.width;
  const int32_t* token = call.plan->row_token() + tile.begin;
  float* dh = group.dh + 2 * width * (tile.begin - group.begin);
  float* gated = group.gated + width * (tile.begin - group.begin);
  w2.multiply(tile.expert, tile.rows(), {call.dy, call.hidden, false, token}, da, width);
  for (int r = 0; r < tile.rows(); ++r) {
    const int64_t pair = int64_t{token[r]} * call.experts + tile.expert;
    const float dgate =
        activation_gradient(dh + 2 * r * width, gated + r * width, da + r * width,
                            call.h + 2 * (tile.begin + r) * width, call.width, call.gates[pair]);
    if (call.dgates == nullptr) continue;
    call.dgates[pair] = call.accumulate & kDgates ? call.dgates[pair] + dgate : dgate;
  }
  if (call.dx_rows == nullptr) return;
  w1.multiply(tile.expert, tile.rows(), {dh, 2 * width},
              call.dx_rows + int64_t{tile.begin} * call.hidden, call.hidden);
}

// Columns [begin, end) of dW1 of an expert: gathered x^T times dH.
void first_weight_gradient(Context& context, const Gradient& call, int expert,
                           const GroupRows& group, int begin, int end) {
  const int64_t row = call.plan->expert_offset(expert);
  const int64_t columns = 2 * int64_t{call.width};
  const float* dh = group.dh + columns * (row - group.begin);
  gemm_one_thread(context, call.hidden, end - begin, call.plan->expert_rows(expert), 1.0f,
                  {call.x, call.hidden, true, call.plan->row_token() + row}, {dh + begin, columns},
                  call.accumulate & kDw1 ? 1.0f : 0.0f,
                  call.dw1 + int64_t{expert} * call.hidden * columns + begin, columns);
}

// Rows [begin, end) of dW2 of an expert: (gate A)^T times gathered dY.
void second_weight_gradient(Context& context, const Gradient& call, int expert,
                            const GroupRows& group, int begin, int end) {
  const int64_t row = call.plan->expert_offset(expert);
  const float* gated = group.gated + call.width * (row - group.begin);
  gemm_one_thread(context, end - begin, call.hidden, call.plan->expert_rows(expert), 1.0f,
                  {gated + begin, call.width, true},
                  {call.dy, call.hidden, false, call.plan->row_token() + row},
                  call.accumulate & kDw2 ? 1.0f : 0.0f,
                  call.dw2 + (int64_t{expert} * call.width + begin) * call.hidden, call.hidden);
}

void zero(Context& context, float* x, int64_t count) {
  if (x == nullptr) return;
  parallel_ranges(context, count, 1, [&](int64_t begin, int64_t end) {
    std::memset(x + begin, 0, (end - begin) * sizeof(float));
  });
}

// The weights' gradients of a group. Each expert is cut into as many parts as keep all threads
// busy, though not below kPartColumns columns: narrower blocks copy their operands too often.
void weight_gradients(Context& context, const Gradient& call, ExpertGroup group,
                      const GroupRows& rows) {
  constexpr int kPartColumns = 128;
  const int group_experts = group.end - group.begin;
  const int parts =
      std::clamp(4 * context.threads / group_experts, 1, std::max(1, call.width / kPartColumns));
  // dW1 has twice the columns that dW2 has rows: three tasks of the same size a part.
  parallel_tasks(context, int64_t{3} * parts * group_experts, [&](int64_t task, int) {
    const int expert = group.begin + static_cast<int>(task / (3 * parts));
    const int64_t part = task % (3 * parts);
    if (call.plan->expert_rows(expert) == 0) return;
    if (part < 2 * parts) {
      const Range range = part_of(2 * int64_t{call.width}, 2 * parts, part, 2 * kLanes);
      if (call.dw1 == nullptr || range.begin == range.end) return;
      first_weight_gradient(context, call, expert, rows, range.begin, range.end);
    } else {
      const Range range = part_of(call.width, parts, part - 2 * parts, 2 * kLanes);
      if (call.dw2 == nullptr || range.begin == range.end) return;
      second_weight_gradient(context, call, expert, rows, range.begin, range.end);
    }
  });
  const int64_t elements = int64_t{call.hidden} * call.width;
  for (int e = group.begin; e < group.end; ++e) {
    if (call.plan->expert_rows(e) > 0) continue;
    if (call.dw1 && !(call.accumulate & kDw1))
      zero(context, call.dw1 + 2 * elements * e, 2 * elements);
    if (call.dw2 && !(call.accumulate & kDw2)) zero(context, call.dw2 + elements * e, elements);
  }
}

void gradient_of_group(Context& context, const Gradient& call, ExpertGroup group, const float* w1,
                       const float* w2) {
  const Plan& plan = *call.plan;
  const int64_t width = call.width;
  const int first_row = plan.expert_offset(group.begin);
  const int64_t count = plan.expert_offset(group.end) - first_row;
  Scratch<float> memory(context, 3 * width * count);
  const GroupRows rows{first_row, memory.data(), memory.data() + 2 * width * count};
  {
    ExpertTiles tiles(context, plan, group);
    ExpertWeights second(context, plan, group, w2, call.hidden, call.width, true);
    ExpertWeights first(context, plan, group, w1, 2 * call.width, call.hidden, true);
    const int64_t thread_floats = kExpertTileRows * width;
    Scratch<float> scratch(context, context.threads * thread_floats);
    parallel_tasks(context, tiles.count(), [&](int64_t task, int thread) {
      gradient_tile(call, tiles[task], rows, second, first,
                    scratch.data() + thread * thread_floats);
    });
  }
  weight_gradients(context, call, group, rows);
}

}  // namespace

void experts_gradient(Context& context, float* dx, float* dw1, float* dw2, float* dgates,
                      const float* dy, const float* h, const float* x, const float* w1,
                      const float* w2, const float* gates, const int32_t* plan_words, int tokens,
                      int hidden, int width, int experts, int accumulate) {
  const Plan plan(plan_words, tokens, experts);
  if (!(accumulate & kDgates)) zero(context, dgates, int64_t{tokens} * experts);
  Scratch<float> dx_rows(context, dx ? int64_t{plan.rows()} * hidden : 0);
  const Gradient call{
      dw1,    dw2,   dgates,  dy,        h, x, gates, &plan, dx ? dx_rows.data() : nullptr,
      hidden, width, experts, accumulate};
  if (plan.rows() == 0) {
    const int64_t elements = int64_t{experts} * hidden * width;
    if (!(accumulate & kDw1)) zero(context, dw1, 2 * elements);
    if (!(accumulate & kDw2)) zero(context, dw2, elements);
  } else {
    for (int next = 0; next < experts;) {
      const ExpertGroup group =
          next_group(plan, next, experts, 3 * int64_t{width}, 3 * int64_t{hidden} * width);
      gradient_of_group(context, call, group, w1, w2);
      next = group.end;
    }
  }
  if (dx) combine(context, dx, dx_rows.data(), plan, tokens, hidden, accumulate & kDx);
}

}  // namespace remoe::REMOE_TARGET
