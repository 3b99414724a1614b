// Gradient of the experts in fp32: the tasks and how their results are joined. expert_gradient.h
// handles one expert's rows; rows of dx are gathered by token (combine.h).
#include "per_isa/kernel.h"
#include "per_isa/moe/combine.h"
#include "per_isa/moe/expert_arguments.h"
#include "per_isa/moe/expert_gradient.h"
#include "per_isa/moe/experts_bf16.h"
#include "per_isa/moe/weight_gradient_parts.h"
#include "per_isa/scratch_bytes.h"
#include "runtime/dtype.h"

namespace remoe::REMOE_TARGET {
namespace {

// Rows per tile: no expert has more rows than there are tokens. Based on the tokens rather than the
// actual rows, so that scratch has the same size in every step.
int64_t tile_rows(int tokens) { return std::min(round_up(tokens, kBlockRows), kGradientTileRows); }

void run_tasks(Context& context, const ExpertGradient& call, ExpertTasks& tasks,
               const WeightGradientParts& parts) {
  const int64_t thread_floats = layout_floats<GradientMemory>(call);
  Scratch<float> memory(context, context.threads * thread_floats);
  parallel_tasks(context, tasks.count(), [&](int64_t i, int thread) {
    const ExpertTask& task = tasks[i];
    const WeightGradients target = parts.of(task);
    Workspace of_thread(memory.data() + thread * thread_floats);
    ExpertGradientTask(call, GradientMemory(of_thread, call), task, target).run();
  });
}

}  // namespace

// The scratch memory of experts_gradient() below, in the order in which it is taken.
double experts_gradient_scratch(Context& context, int rows, int kept_rows, int tokens, int hidden,
                                int width, int experts) {
  const int most = gradient_task_rows(rows);
  const int64_t parts = expected_parts(rows, experts, most);
  ExpertGradient call{};
  call.recomputes = kept_rows < rows;
  call.hidden = hidden;
  call.chunk = width_chunk(hidden, width);
  call.tile = tile_rows(tokens);
  // In floating point, since sizes that no memory holds may be asked about.
  const double floats = static_cast<double>(rows) * hidden +
                        static_cast<double>(parts * kPartMatrices) * hidden * width +
                        static_cast<double>(context.threads * layout_floats<GradientMemory>(call));
  return static_cast<double>(ExpertTasks::bytes(rows, experts, most)) + sizeof(float) * floats;
}

void experts_gradient(Context& context, float* dx, float* dw1, float* dw2, float* dgates,
                      const float* dy, const float* h, const float* x, const float* w1,
                      const float* w2, const float* gates, const int32_t* plan_words, int kept_rows,
                      int tokens, int hidden, int width, int experts, int accumulate) {
  const Plan plan(plan_words, tokens, experts);
  ExpertTasks tasks(context, plan, experts, gradient_task_rows(plan.rows()));
  Scratch<float> dx_rows(context, dx != nullptr ? int64_t{plan.rows()} * hidden : 0);
  const ExpertGradient call{dx != nullptr ? dx_rows.data() : nullptr,
                            dgates,
                            (accumulate & kDgates) != 0,
                            dy,
                            h,
                            kept_rows,
                            kept_rows < plan.rows(),
                            x,
                            w1,
                            w2,
                            gates,
                            plan.row_token(),
                            hidden,
                            width,
                            experts,
                            width_chunk(hidden, width),
                            tile_rows(tokens)};

  WeightGradientParts parts(context, dw1, dw2, accumulate, tasks, int64_t{hidden} * width);
  if (!call.add_dgates) clear_gates(context, dgates, int64_t{tokens} * experts);
  run_tasks(context, call, tasks, parts);
  parts.join(context, plan, tasks, experts);
  if (dx != nullptr) combine(context, dx, dx_rows.data(), plan, tokens, hidden, accumulate & kDx);
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(experts_gradient)

using namespace remoe;

int32_t remoe_experts_gradient(uint64_t context, int32_t dtype, uint64_t dx, uint64_t dw1,
                               uint64_t dw2, uint64_t dgates, uint64_t dy, uint64_t h, uint64_t x,
                               uint64_t w1, uint64_t w2, uint64_t gates, uint64_t plan,
                               int32_t kept_rows, int32_t tokens, int32_t hidden, int32_t width,
                               int32_t experts, int32_t accumulate) {
  return guard(context, "experts_gradient", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(width, "width");
    require_size(experts, "experts");
    require_float(dtype);
    const int32_t* words = require_plan(plan, tokens, experts);
    const float* of_gates = require_address<const float>(gates, "gates");
    float* of_dw1 = optional_address<float>(dw1, "dw1");
    float* of_dw2 = optional_address<float>(dw2, "dw2");
    float* of_dgates = optional_address<float>(dgates, "dgates");
    const int32_t kept = require_kept(kept_rows);
    const auto run = [&]<class T>(auto&& kernel) {
      const T* of_h = kept == 0 ? nullptr : require_address<const T>(h, "h");
      kernel(optional_address<T>(dx, "dx"), of_dw1, of_dw2, of_dgates,
             require_address<const T>(dy, "dy"), of_h, require_address<const T>(x, "x"),
             require_address<const T>(w1, "w1"), require_address<const T>(w2, "w2"));
    };
    if (dtype == REMOE_BF16) {
      run.operator()<Bf16>([&](auto... operands) {
        REMOE_DISPATCH_BF16(open, experts_gradient_bf16, operands..., of_gates, words, kept, tokens,
                            hidden, width, experts, accumulate);
      });
    } else {
      run.operator()<float>([&](auto... operands) {
        REMOE_DISPATCH(open, experts_gradient, operands..., of_gates, words, kept, tokens, hidden,
                       width, experts, accumulate);
      });
    }
  });
}
#endif  // REMOE_ENTRY_POINTS
