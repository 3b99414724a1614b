// The weights of a group's experts as the second operand of products with their rows.
#pragma once

#include <algorithm>
#include <cstdint>

#include "expert_tiles.h"
#include "gemm.h"

namespace remoe::REMOE_TARGET {

// op(W_e) is [k,n]; see kPackedFromRows for which experts are packed here.
class ExpertWeights {
 public:
  // `weights` holds one [k,n] matrix, or [n,k] where `transposed`, per expert.
  ExpertWeights(Context& context, const Plan& plan, ExpertGroup group, const float* weights, int k,
                int n, bool transposed)
      : context_(context),
        weights_(weights),
        k_(k),
        n_(n),
        transposed_(transposed),
        first_(group.begin),
        slots_(context, group.end - group.begin),
        packed_(context, assign_slots(plan, group) * packed_size(context, k, n)) {
    // Several tasks an expert, so that packing one expert alone uses all threads.
    const int columns = packed_columns(context) * kPanelsPerTask;
    const int64_t chunks = (n + columns - 1) / columns;
    parallel_tasks(context, (group.end - group.begin) * chunks, [&](int64_t task, int) {
      const int expert = group.begin + static_cast<int>(task / chunks);
      const int begin = static_cast<int>(task % chunks) * columns;
      if (float* target = packed(expert)) {
        pack(context, k, n, operand(expert), target, begin, std::min(n, begin + columns));
      }
    });
  }

  // c [m,n] = a op(W_expert), on the calling thread.
  void multiply(int expert, int m, const Operand& a, float* c, int64_t ldc) {
    if (const float* b = packed(expert)) {
      gemm_packed(context_, m, n_, k_, 1.0f, a, b, 0.0f, c, ldc);
    } else {
      gemm_one_thread(context_, m, n_, k_, 1.0f, a, operand(expert), 0.0f, c, ldc);
    }
  }

 private:
  static constexpr int kPanelsPerTask = 8;

  std::size_t assign_slots(const Plan& plan, ExpertGroup group) {
    int used = 0;
    for (int e = group.begin; e < group.end; ++e) {
      slots_[e - first_] = plan.expert_rows(e) > kPackedFromRows ? used++ : -1;
    }
    return used;
  }
  float* packed(int expert) {
    const int slot = slots_[expert - first_];
    return slot < 0 ? nullptr : packed_.data() + slot * packed_size(context_, k_, n_);
  }
  Operand operand(int expert) const {
    return {weights_ + int64_t{expert} * k_ * n_, transposed_ ? k_ : n_, transposed_};
  }

  Context& context_;
  const float* weights_;
  int k_;
  int n_;
  bool transposed_;
  int first_;
  Scratch<int> slots_;
  Scratch<float> packed_;
};

}  // namespace remoe::REMOE_TARGET
