// Splits the rows of a plan into tasks for threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "per_isa/gemm/cache_tile.h"
#include "per_isa/moe/dispatch_plan.h"
#include "runtime/context.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {

// Rows [begin, end) of one expert. `part` numbers the parts of all experts other than each expert's
// first, whose part is -1: see experts_gradient().
struct ExpertTask {
  int expert;
  int begin;
  int end;
  int part;
  int rows() const { return end - begin; }
};

// Columns of an expert's width processed at once: all weights of the chunk, 3 chunk D floats, stay
// in 384 KiB of L2 while the rows stream past. At large hidden sizes, fewer columns would spend the
// time on accumulating the rows' results. If the chunk then exceeds the L2 of most machines with
// such vectors, the weights come from L3, and larger chunks are better.
inline constexpr int64_t kLeastWidthChunk = (kLanes == 16 ? 2 : 4) * kChunk;
inline int width_chunk(int hidden, int width) {
  const int64_t columns = std::max<int64_t>(32768 / hidden / kChunk * kChunk, kLeastWidthChunk);
  return static_cast<int>(std::min(columns, round_up(width, kChunk)));
}

// How many parts of at most about `most` rows the rows of one expert are split into.
inline int64_t parts_of_rows(int64_t rows, int most) { return (rows + most - 1) / most; }

// The rows of all experts in parts of at most about `most` rows, largest first, so that threads
// taking them one after another finish at about the same time.
class ExpertTasks {
 public:
  ExpertTasks(Context& context, const Plan& plan, int experts, int most)
      : tasks_(context, most_tasks(plan.rows(), experts, most)), first_part_(context, experts + 1) {
    for (int e = 0; e < experts; ++e) {
      first_part_[e] = parts_;
      const int rows = plan.rows() == 0 ? 0 : plan.expert_rows(e);
      const int parts = static_cast<int>(parts_of_rows(rows, most));
      for (int i = 0; i < parts; ++i) {
        const Range range = part_of(rows, parts, i, kBlockRows);
        const int offset = plan.expert_offset(e);
        tasks_[count_++] = {e, offset + static_cast<int>(range.begin),
                            offset + static_cast<int>(range.end), i == 0 ? -1 : parts_++};
      }
    }
    first_part_[experts] = parts_;
    std::sort(tasks_.data(), tasks_.data() + count_, [](const ExpertTask& a, const ExpertTask& b) {
      return a.rows() != b.rows() ? a.rows() > b.rows() : a.begin < b.begin;
    });
  }

  // What the lists of a plan with so many rows take.
  static int64_t bytes(int64_t rows, int64_t experts, int most) {
    return most_tasks(rows, experts, most) * static_cast<int64_t>(sizeof(ExpertTask)) +
           (experts + 1) * static_cast<int64_t>(sizeof(int));
  }

  int64_t count() const { return count_; }
  const ExpertTask& operator[](int64_t i) { return tasks_[i]; }
  // Parts other than each expert's first: their total, and the first of expert e, e in [0, E].
  int parts() const { return parts_; }
  int first_part(int e) { return first_part_[e]; }

 private:
  static int64_t most_tasks(int64_t rows, int64_t experts, int most) {
    return rows / most + experts;
  }

  Scratch<ExpertTask> tasks_;
  Scratch<int> first_part_;
  int64_t count_ = 0;
  int parts_ = 0;
};

}  // namespace remoe::REMOE_TARGET
