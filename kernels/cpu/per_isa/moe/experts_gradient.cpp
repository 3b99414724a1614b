// Gradient of the experts: the tasks and how their results are joined. expert_gradient.h handles
// one expert's rows.
//
// Rows of dx are gathered by token (combine.h). If an expert's rows make several tasks, the first
// writes its weight gradients in place. The others write to scratch, which is then added in the
// order of the rows. Task boundaries follow from the plan alone, so the result does not depend on
// the threads.
#include "per_isa/kernel.h"
#include "per_isa/moe/combine.h"
#include "per_isa/moe/expert_arguments.h"
#include "per_isa/moe/expert_gradient.h"
#include "per_isa/scratch_bytes.h"
#include "runtime/fp32_view.h"

namespace remoe::REMOE_TARGET {
namespace {

// Bits of `accumulate`.
enum : int { kDx = 1, kDw1 = 2, kDw2 = 4, kDgates = 8 };

// Rows per task: at least sixteen tasks in total, down to 756 rows. Each further task of an expert
// costs a pass over its weight gradients, hence no fewer; 2048 rows are enough to hide it.
int task_rows(int rows) { return std::clamp(rows / 16, 756, 2048); }

// Rows per tile: no expert has more rows than there are tokens. Based on the tokens rather than the
// actual rows, so that scratch has the same size in every step.
int64_t tile_rows(int tokens) { return std::min(round_up(tokens, kBlockRows), kGradientTileRows); }

void zero(Context& context, float* x, int64_t count) {
  if (x == nullptr) return;
  parallel_ranges(context, count, 1, [&](int64_t begin, int64_t end) {
    std::memset(x + begin, 0, (end - begin) * sizeof(float));
  });
}

// The weight gradients [experts][elements] of one kind (dW1 or dW2), and where their parts are.
struct Parts {
  float* target;  // null: not wanted
  int64_t elements;
  bool accumulate;
  float* scratch;  // of part 0; parts are `stride` apart
  int64_t stride;

  // Where a task writes, and whether it adds to what is already there.
  float* of(const ExpertTask& task) const {
    if (target == nullptr) return nullptr;
    return task.part < 0 ? target + task.expert * elements : scratch + task.part * stride;
  }
  bool adds(const ExpertTask& task) const { return task.part < 0 && accumulate; }

  // Adds parts [begin, end) to elements [first, last) of an expert's gradient.
  void join(int expert, int begin, int end, int64_t first, int64_t last) const {
    if (target == nullptr) return;
    float* sum = target + expert * elements;
    for (int part = begin; part < end; ++part) {
      const float* from = scratch + part * stride;
      for (int64_t i = first; i < last; ++i) sum[i] += from[i];
    }
  }
  // An expert without rows.
  void clear(int expert, int64_t first, int64_t last) const {
    if (target == nullptr || accumulate) return;
    std::memset(target + expert * elements + first, 0, sizeof(float) * (last - first));
  }
};

void run_tasks(Context& context, const ExpertGradient& call, ExpertTasks& tasks, const Parts& dw1,
               const Parts& dw2) {
  const int64_t thread_floats = layout_floats<GradientMemory>(call);
  Scratch<float> memory(context, context.threads * thread_floats);
  parallel_tasks(context, tasks.count(), [&](int64_t i, int thread) {
    const ExpertTask& task = tasks[i];
    const WeightGradients target{dw1.of(task), dw2.of(task), dw1.adds(task), dw2.adds(task)};
    Workspace of_thread(memory.data() + thread * thread_floats);
    ExpertGradientTask(call, GradientMemory(of_thread, call), task, target).run();
  });
}

// Completes the weight gradients, in one parallel region for all experts.
void join_parts(Context& context, const Plan& plan, ExpertTasks& tasks, int experts,
                const Parts& dw1, const Parts& dw2) {
  if (dw1.target == nullptr && dw2.target == nullptr) return;
  constexpr int64_t kSlices = 8;
  parallel_tasks(context, experts * kSlices, [&](int64_t task, int) {
    const int expert = static_cast<int>(task / kSlices);
    const bool empty = plan.rows() == 0 || plan.expert_rows(expert) == 0;
    for (const Parts& parts : {dw1, dw2}) {
      const Range slice = part_of(parts.elements, kSlices, task % kSlices, 16);
      if (empty) {
        parts.clear(expert, slice.begin, slice.end);
      } else {
        parts.join(expert, tasks.first_part(expert), tasks.first_part(expert + 1), slice.begin,
                   slice.end);
      }
    }
  });
}

// A part holds dW1 (of two matrices) and dW2 of an expert, one behind the other.
constexpr int64_t kPartMatrices = 3;

}  // namespace

// The scratch memory of experts_gradient() below, in the order in which it is taken.
double experts_gradient_scratch(Context& context, int rows, int kept_rows, int tokens, int hidden,
                                int width, int experts) {
  const int most = task_rows(rows);
  const int64_t rows_of_expert = (int64_t{rows} + experts - 1) / experts;
  const int64_t parts = experts * (parts_of_rows(rows_of_expert, most) - 1);
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
  ExpertTasks tasks(context, plan, experts, task_rows(plan.rows()));
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

  const int64_t elements = int64_t{hidden} * width, stride = kPartMatrices * elements;
  Scratch<float> scratch(context, dw1 || dw2 ? tasks.parts() * stride : 0);
  const Parts first{dw1, 2 * elements, (accumulate & kDw1) != 0, scratch.data(), stride};
  const Parts second{dw2, elements, (accumulate & kDw2) != 0, scratch.data() + 2 * elements,
                     stride};
  if (!call.add_dgates) zero(context, dgates, int64_t{tokens} * experts);
  run_tasks(context, call, tasks, first, second);
  join_parts(context, plan, tasks, experts, first, second);
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
    const int64_t hidden_states = int64_t{tokens} * hidden;
    const int64_t matrix = int64_t{experts} * hidden * width;
    const Fp32Operand of_dy(open, dtype, dy, hidden_states, "dy"),
        of_x(open, dtype, x, hidden_states, "x");
    const Fp32Operand of_w1(open, dtype, w1, 2 * matrix, "w1"),
        of_w2(open, dtype, w2, matrix, "w2");
    const Fp32Operand of_h(open, dtype, h, int64_t{require_kept(kept_rows)} * 2 * width, "h",
                           kept_rows == 0 ? kMayBeMissing : kNeeded);
    Fp32Target of_dx(open, dtype, dx, hidden_states, accumulate & 1, "dx", kMayBeMissing);
    REMOE_DISPATCH(open, experts_gradient, of_dx.data(), optional_address<float>(dw1, "dw1"),
                   optional_address<float>(dw2, "dw2"), optional_address<float>(dgates, "dgates"),
                   of_dy.data(), of_h.data(), of_x.data(), of_w1.data(), of_w2.data(),
                   require_address<const float>(gates, "gates"), words, kept_rows, tokens, hidden,
                   width, experts, accumulate);
    of_dx.commit();
  });
}
#endif  // REMOE_ENTRY_POINTS
