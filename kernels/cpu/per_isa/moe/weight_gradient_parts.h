// The weight gradients of experts whose rows make several tasks: the first task writes in place,
// the others to scratch, which is then added in the order of the rows. Task boundaries follow from
// the plan alone, so the result does not depend on the threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "per_isa/moe/expert_tasks.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {

// Bits of `accumulate` of experts_gradient.
enum ExpertGradientBit : int { kDx = 1, kDw1 = 2, kDw2 = 4, kDgates = 8 };

// Rows per task: at least sixteen tasks in total, down to 756 rows. Each further task of an expert
// costs a pass over its weight gradients, hence no fewer; 2048 rows are enough to hide it.
inline int gradient_task_rows(int rows) { return std::clamp(rows / 16, 756, 2048); }

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

// Where a task writes its weight gradients: [D,2W] and [W,D], null if not wanted.
struct WeightGradients {
  float* dw1;
  float* dw2;
  bool add_dw1;
  bool add_dw2;
};

// A part holds dW1 (of two matrices) and dW2 of an expert, one behind the other.
inline constexpr int64_t kPartMatrices = 3;

// The weight gradients of a call, and the scratch for the parts of all tasks.
class WeightGradientParts {
 public:
  // `elements`: D W.
  WeightGradientParts(Context& context, float* dw1, float* dw2, int accumulate,
                      const ExpertTasks& tasks, int64_t elements)
      : scratch_(context, dw1 || dw2 ? tasks.parts() * kPartMatrices * elements : 0),
        dw1_{dw1, 2 * elements, (accumulate & kDw1) != 0, scratch_.data(),
             kPartMatrices * elements},
        dw2_{dw2, elements, (accumulate & kDw2) != 0, scratch_.data() + 2 * elements,
             kPartMatrices * elements} {}

  WeightGradients of(const ExpertTask& task) const {
    return {dw1_.of(task), dw2_.of(task), dw1_.adds(task), dw2_.adds(task)};
  }

  // Completes the weight gradients, in one parallel region for all experts.
  void join(Context& context, const Plan& plan, ExpertTasks& tasks, int experts) const {
    if (dw1_.target == nullptr && dw2_.target == nullptr) return;
    constexpr int64_t kSlices = 8;
    parallel_tasks(context, experts * kSlices, [&](int64_t task, int) {
      const int expert = static_cast<int>(task / kSlices);
      const bool empty = plan.rows() == 0 || plan.expert_rows(expert) == 0;
      for (const Parts& parts : {dw1_, dw2_}) {
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

 private:
  Scratch<float> scratch_;
  Parts dw1_, dw2_;
};

// Parts beyond the first, if the rows are spread evenly over the experts.
inline int64_t expected_parts(int64_t rows, int64_t experts, int most) {
  return experts * (parts_of_rows((rows + experts - 1) / experts, most) - 1);
}

inline void clear_gates(Context& context, float* dgates, int64_t count) {
  if (dgates == nullptr) return;
  parallel_ranges(context, count, 1, [&](int64_t begin, int64_t end) {
    std::memset(dgates + begin, 0, (end - begin) * sizeof(float));
  });
}

}  // namespace remoe::REMOE_TARGET
