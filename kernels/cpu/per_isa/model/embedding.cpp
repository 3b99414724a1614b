// The token embedding: rows of a table, and their gradient.
#include <cstring>

#include "per_isa/kernels.h"
#include "per_isa/simd/vector_math.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// Columns of the table that one task adds up. Each task walks all positions in their order, so that
// the sums have one order whatever the threads, and no two tasks meet.
constexpr int kColumns = 64;

void add_columns(float* dtable, const float* dy, const int32_t* tokens, int count, int hidden,
                 int begin, int end) {
  for (int64_t i = 0; i < count; ++i) {
    float* target = dtable + int64_t{tokens[i]} * hidden;
    const float* source = dy + i * hidden;
    for (int c = begin; c < end; ++c) target[c] += source[c];
  }
}

}  // namespace

void embedding_forward(Context& context, float* y, const float* table, const int32_t* tokens,
                       int count, int hidden, int) {
  parallel_ranges(context, count, hidden, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(y + i * hidden, table + int64_t{tokens[i]} * hidden, sizeof(float) * hidden);
    }
  });
}

void embedding_gradient(Context& context, float* dtable, const float* dy, const int32_t* tokens,
                        int count, int hidden, int vocabulary, bool accumulate) {
  if (!accumulate) {
    parallel_ranges(context, int64_t{vocabulary} * hidden, 1, [&](int64_t begin, int64_t end) {
      std::memset(dtable + begin, 0, (end - begin) * sizeof(float));
    });
  }
  const int64_t blocks = (hidden + kColumns - 1) / kColumns;
  parallel_tasks(context, blocks, [&](int64_t block, int) {
    const int begin = static_cast<int>(block) * kColumns;
    add_columns(dtable, dy, tokens, count, hidden, begin, std::min(hidden, begin + kColumns));
  });
}

}  // namespace remoe::REMOE_TARGET
