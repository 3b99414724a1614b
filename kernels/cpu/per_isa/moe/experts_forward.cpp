// Forward pass of the experts: y_t = sum_e gate_te FFN_e(x_t).
//
// A task is a few hundred rows of one expert. It packs a chunk of the expert's weights into panels,
// then takes its rows through all steps in blocks of 14 (or 6): gather x, first product, write h
// where the gradient will look for it, SwiGLU on data still in registers and L1, second product.
// Only the rows of the second product [N,D] go through memory, to be summed by token. A handful of
// rows, as in generation, takes another path (experts_few_rows.h).
#include "per_isa/gemm/cache_product.h"
#include "per_isa/gemm/weight_panels.h"
#include "per_isa/gemm/workspace.h"
#include "per_isa/kernel.h"
#include "per_isa/moe/combine.h"
#include "per_isa/moe/expert_arguments.h"
#include "per_isa/moe/expert_calls.h"
#include "per_isa/moe/expert_tasks.h"
#include "per_isa/moe/experts_bf16.h"
#include "per_isa/moe/experts_few_rows.h"
#include "per_isa/moe/swiglu.h"
#include "per_isa/simd/streaming.h"
#include "runtime/dtype.h"

namespace remoe::REMOE_TARGET {
namespace {

using Forward = ExpertsForward<float>;

// A thread's scratch.
struct Memory {
  CacheTile x;  // [kBlockRows, D]
  CacheTile a;  // [kBlockRows, chunk]
  float* w1;
  float* w2;

  Memory(Workspace& memory, const Forward& call)
      : x(memory.tile(kBlockRows, call.hidden)),
        a(memory.tile(kBlockRows, call.chunk)),
        w1(memory.take(gate_up_panels_floats(call.hidden, call.chunk))),
        w2(memory.take(panels_floats(call.chunk, call.hidden))) {}
};

// Packs columns `width` of W_gate and W_up, and the same rows of W_down.
void pack_weights(const Forward& call, const Memory& memory, int expert, const Range& width) {
  const int64_t columns = width.end - width.begin;
  const float* w1 = call.w1 + expert * call.hidden * 2 * call.width + width.begin;
  const float* w2 = call.w2 + (expert * call.width + width.begin) * call.hidden;
  pack_gate_up_panels(memory.w1, w1, call.hidden, call.width, columns);
  pack_panels(memory.w2, w2, call.hidden, columns, call.hidden);
}

// From a block of (g | u), writes a = gate silu(g) u to its tile, and h of the first `kept` rows to
// memory. `left`: columns of the width from the block's first on.
void activate_block(const RegisterBlock& block, int rows, int kept, const float* gates, float* a,
                    float* h, int64_t width, int64_t left) {
  for (int64_t r = 0; r < rows; ++r) {
    const Vec g = load(block.row(r)), u = load(block.row(r) + kLanes);
    store(a + r * kPitch, swiglu(g, u) * gates[r]);
    if (r >= kept) continue;
    float* row = h + 2 * r * width;
    if (left >= kLanes) {
      stream(row, g);
      stream(row + width, u);
    } else {
      store_partial(row, g, left);
      store_partial(row + width, u, left);
    }
  }
}

// Takes rows [begin, begin + rows), at most kBlockRows, through columns [width.begin, width.end).
void forward_rows(const Forward& call, const Memory& memory, int expert, int64_t begin, int rows,
                  const Range& width) {
  const int64_t columns = width.end - width.begin;
  const int32_t* token = call.row_token + begin;
  fill_tile(memory.x, kBlockRows, rows, call.hidden,
            [&](int64_t r) { return call.x + token[r] * call.hidden; });
  float gates[kBlockRows];
  for (int r = 0; r < rows; ++r) gates[r] = call.gates[token[r] * call.experts + expert];

  const int kept = static_cast<int>(std::clamp<int64_t>(call.kept_rows - begin, 0, rows));
  RegisterBlock block;
  for (int64_t j = 0; j < columns; j += kLanes) {
    multiply_block<false>(block, memory.x, 0, call.hidden,
                          memory.w1 + j / kLanes * panel_floats(call.hidden));
    float* h = kept > 0 ? call.h + 2 * begin * call.width + width.begin + j : nullptr;
    activate_block(block, rows, kept, gates, memory.a.at(0, j), h, call.width, columns - j);
  }
  for (int64_t d = 0; d < call.hidden; d += kPanel) {
    multiply_block<false>(block, memory.a, 0, columns,
                          memory.w2 + d / kPanel * panel_floats(columns));
    write_block(block, rows, call.hidden - d,
                {call.rows + begin * call.hidden + d, call.hidden, width.begin > 0});
  }
}

void forward_task(const Forward& call, const Memory& memory, const ExpertTask& task) {
  for (int64_t w = 0; w < call.width; w += call.chunk) {
    const Range width{w, std::min(call.width, w + call.chunk)};
    pack_weights(call, memory, task.expert, width);
    for (int begin = task.begin; begin < task.end; begin += kBlockRows) {
      forward_rows(call, memory, task.expert, begin, std::min(kBlockRows, task.end - begin), width);
    }
  }
  finish_streams();
}

// Rows per task. Four tasks per thread let the last ones finish together. Below 252 rows packing
// the weights costs more than 5 %; beyond 1008 the cost no longer shows.
int task_rows(const Context& context, int rows) {
  return std::clamp(rows / (4 * context.threads), 252, 1008);
}

}  // namespace

void experts_forward(Context& context, float* y, float* h, const float* x, const float* w1,
                     const float* w2, const float* gates, const int32_t* plan_words, int kept_rows,
                     int tokens, int hidden, int width, int experts) {
  const Plan plan(plan_words, tokens, experts);
  Scratch<float> rows(context, int64_t{plan.rows()} * hidden);
  if (kept_rows == 0 && plan.rows() > 0 && plan.rows() <= kFewRows) {
    experts_few_rows<float>(context, rows.data(), {x, w1, w2, gates, hidden, width, experts}, plan);
    return combine(context, y, rows.data(), plan, tokens, hidden, false);
  }
  const Forward call{rows.data(), h,     kept_rows, x,
                     w1,          w2,    gates,     plan.row_token(),
                     hidden,      width, experts,   width_chunk(hidden, width)};
  ExpertTasks tasks(context, plan, experts, task_rows(context, plan.rows()));
  const int64_t thread_floats = layout_floats<Memory>(call);
  Scratch<float> memory(context, context.threads * thread_floats);
  parallel_tasks(context, tasks.count(), [&](int64_t i, int thread) {
    Workspace of_thread(memory.data() + thread * thread_floats);
    forward_task(call, Memory(of_thread, call), tasks[i]);
  });
  combine(context, y, rows.data(), plan, tokens, hidden, false);
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(experts_forward)

using namespace remoe;

int32_t remoe_experts_forward(uint64_t context, int32_t dtype, uint64_t y, uint64_t h, uint64_t x,
                              uint64_t w1, uint64_t w2, uint64_t gates, uint64_t plan,
                              int32_t kept_rows, int32_t tokens, int32_t hidden, int32_t width,
                              int32_t experts) {
  return guard(context, "experts_forward", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(width, "width");
    require_size(experts, "experts");
    require_float(dtype);
    const int32_t* words = require_plan(plan, tokens, experts);
    const float* of_gates = require_address<const float>(gates, "gates");
    const int32_t kept = require_kept(kept_rows);
    const auto run = [&]<class T>(auto&& kernel) {
      T* of_h = kept == 0 ? nullptr : require_address<T>(h, "h");
      kernel(require_address<T>(y, "y"), of_h, require_address<const T>(x, "x"),
             require_address<const T>(w1, "w1"), require_address<const T>(w2, "w2"));
    };
    if (dtype == REMOE_BF16) {
      run.operator()<Bf16>([&](auto... operands) {
        REMOE_DISPATCH_BF16(open, experts_forward_bf16, operands..., of_gates, words, kept, tokens,
                            hidden, width, experts);
      });
    } else {
      run.operator()<float>([&](auto... operands) {
        REMOE_DISPATCH(open, experts_forward, operands..., of_gates, words, kept, tokens, hidden,
                       width, experts);
      });
    }
  });
}
#endif  // REMOE_ENTRY_POINTS
