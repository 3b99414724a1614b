// Forward pass of the experts in bf16: y_t = sum_e gate_te FFN_e(x_t).
//
// A task is a few hundred rows of one expert. For each chunk of the expert's width it packs the
// weights and takes the rows through all steps in tiles: x (W_gate | W_up) in fp32, h rounded and
// written where the gradient will look for it, SwiGLU of the rounded h, rounded, times W_down. Rows
// of the second product are summed over the chunks in fp32, to be summed by token.
#include "per_isa/gemm/workspace.h"
#include "per_isa/moe/combine.h"
#include "per_isa/moe/expert_calls.h"
#include "per_isa/moe/expert_products.h"
#include "per_isa/moe/expert_tasks.h"
#include "per_isa/moe/experts_bf16.h"
#include "per_isa/moe/experts_few_rows.h"
#include "per_isa/moe/swiglu.h"

namespace remoe::REMOE_TARGET {
namespace {

// Rows per tile, a multiple of 14 and of 6.
constexpr int kTile = 126;

using Forward = ExpertsForward<Bf16>;

// A thread's scratch.
struct Memory {
  uint32_t* gate_up;  // packed W_gate | W_up of a chunk
  uint32_t* down;     // packed W_down
  float* h;           // [kTile, stride of GateUp]
  Bf16* a;            // [kTile, chunk]

  Memory(Workspace& memory, const Context& context, const Forward& call) {
    const GateUp widest(context, call.chunk);
    const auto lanes = [&](int k, int n) {
      return reinterpret_cast<uint32_t*>(memory.take(packed_size<Bf16>(context, k, n)));
    };
    gate_up = lanes(call.hidden, widest.product_columns());
    down = lanes(call.chunk, call.hidden);
    h = memory.take(int64_t{kTile} * widest.stride());
    a = reinterpret_cast<Bf16*>(memory.take(int64_t{kTile} * call.chunk / 2));
  }
};

class ForwardTask {
 public:
  ForwardTask(Context& context, const Forward& call, const Memory& memory, const ExpertTask& task)
      : context_(context), call_(call), memory_(memory), task_(task) {}

  void run() {
    for (int w = 0; w < call_.width; w += call_.chunk) {
      const GateUp sizes(context_, std::min(call_.chunk, call_.width - w));
      pack_weights(sizes, w);
      for (int begin = task_.begin; begin < task_.end; begin += kTile) {
        tile(sizes, w, begin, std::min(kTile, task_.end - begin));
      }
    }
  }

 private:
  void pack_weights(const GateUp& sizes, int w) {
    const int64_t hidden = call_.hidden;
    const Bf16* w1 = call_.w1 + task_.expert * hidden * 2 * call_.width + w;
    const Bf16* w2 = call_.w2 + (task_.expert * int64_t{call_.width} + w) * hidden;
    pack_gate_up(context_, sizes, call_.hidden, call_.width, w1, memory_.gate_up);
    pack(context_, sizes.columns, call_.hidden, Bf16Operand{w2, hidden}, memory_.down);
  }

  // Rows [begin, begin + rows) through columns [w, w + sizes.columns) of the width.
  void tile(const GateUp& sizes, int w, int begin, int rows) {
    const int hidden = call_.hidden;
    const int32_t* token = call_.row_token + begin;
    gemm_packed(context_, rows, sizes.product_columns(), hidden, 1.0f,
                Bf16Operand{call_.x, hidden, false, token}, memory_.gate_up, 0.0f, memory_.h,
                sizes.stride());
    for (int r = 0; r < rows; ++r) {
      const float gate = call_.gates[token[r] * int64_t{call_.experts} + task_.expert];
      const float* h = memory_.h + r * sizes.stride();
      Bf16* a = memory_.a + r * int64_t{call_.chunk};
      activate(a, h, sizes, gate);
      if (begin + r >= call_.kept_rows) continue;
      Bf16* kept = call_.h + (begin + r) * int64_t{2} * call_.width + w;
      round_pre_activations(kept, kept + call_.width, h, sizes.up, sizes.columns);
    }
    gemm_packed(context_, rows, hidden, sizes.columns, 1.0f, Bf16Operand{memory_.a, call_.chunk},
                memory_.down, w > 0 ? 1.0f : 0.0f, call_.rows + begin * int64_t{hidden}, hidden);
  }

  // a = gate silu(g) u of the rounded g and u.
  static void activate(Bf16* a, const float* h, const GateUp& sizes, float gate) {
    each_vector(sizes.columns, [&](auto access, int64_t i) {
      const auto g = access.round(access.load(h + i));
      const auto u = access.round(access.load(h + sizes.up + i));
      access.store(a + i, swiglu(g, u) * access.splat(gate));
    });
  }

  Context& context_;
  const Forward& call_;
  const Memory& memory_;
  const ExpertTask& task_;
};

// Rows per task: below 252 rows packing the weights costs more than 5 %.
int task_rows(const Context& context, int rows) {
  return std::clamp(rows / (4 * context.threads), 252, 1008);
}

}  // namespace

void experts_forward_bf16(Context& context, Bf16* y, Bf16* h, const Bf16* x, const Bf16* w1,
                          const Bf16* w2, const float* gates, const int32_t* plan_words,
                          int kept_rows, int tokens, int hidden, int width, int experts) {
  const Plan plan(plan_words, tokens, experts);
  Scratch<float> rows(context, int64_t{plan.rows()} * hidden);
  if (kept_rows == 0 && plan.rows() > 0 && plan.rows() <= kFewRows) {
    Scratch<float> states(context, int64_t{tokens} * hidden);
    convert_run(states.data(), x, int64_t{tokens} * hidden);
    experts_few_rows<Bf16>(context, rows.data(),
                           {states.data(), w1, w2, gates, hidden, width, experts}, plan);
    return combine(context, y, rows.data(), plan, tokens, hidden, false);
  }
  const Forward call{rows.data(), h,     kept_rows, x,
                     w1,          w2,    gates,     plan.row_token(),
                     hidden,      width, experts,   bf16_width_chunk(hidden, width)};
  ExpertTasks tasks(context, plan, experts, task_rows(context, plan.rows()));
  Workspace counting;
  Memory(counting, context, call);
  Scratch<float> memory(context, context.threads * counting.floats());
  parallel_tasks(context, tasks.count(), [&](int64_t i, int thread) {
    Workspace of_thread(memory.data() + thread * counting.floats());
    ForwardTask(context, call, Memory(of_thread, context, call), tasks[i]).run();
  });
  combine(context, y, rows.data(), plan, tokens, hidden, false);
}

}  // namespace remoe::REMOE_TARGET
