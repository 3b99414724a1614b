// The token embedding: rows of a table, and their gradient.
#include <cstring>

#include "per_isa/kernel.h"
#include "per_isa/simd/elements.h"
#include "runtime/dtype.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// Table columns per task. Each task walks all positions in order, so the order of the sums is
// independent of the threads, and no two tasks write to the same element.
constexpr int kColumns = 64;

template <class T>
void add_columns(float* dtable, const T* dy, const int32_t* tokens, int count, int hidden,
                 int begin, int end) {
  for (int64_t i = 0; i < count; ++i) {
    float* target = dtable + int64_t{tokens[i]} * hidden;
    const T* source = dy + i * hidden;
    each_vector(end - begin, [&](auto at, int64_t c) {
      at.store(target + begin + c, at.load(target + begin + c) + at.load(source + begin + c));
    });
  }
}

}  // namespace

// Rows are copied as they are, whatever their elements.
void embedding_forward(Context& context, int element_bytes, uint8_t* y, const uint8_t* table,
                       const int32_t* tokens, int count, int hidden) {
  const int64_t row = int64_t{hidden} * element_bytes;
  parallel_ranges(context, count, hidden, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(y + i * row, table + tokens[i] * row, row);
    }
  });
}

void embedding_gradient(Context& context, int32_t dtype, float* dtable, const void* dy,
                        const int32_t* tokens, int count, int hidden, int vocabulary,
                        bool accumulate) {
  if (!accumulate) {
    parallel_ranges(context, int64_t{vocabulary} * hidden, 1, [&](int64_t begin, int64_t end) {
      std::memset(dtable + begin, 0, (end - begin) * sizeof(float));
    });
  }
  const int64_t blocks = (hidden + kColumns - 1) / kColumns;
  parallel_tasks(context, blocks, [&](int64_t block, int) {
    const int begin = static_cast<int>(block) * kColumns;
    const int end = std::min(hidden, begin + kColumns);
    with_element(dtype, [&]<class T>() {
      add_columns(dtable, static_cast<const T*>(dy), tokens, count, hidden, begin, end);
    });
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(embedding_forward)
REMOE_KERNEL(embedding_gradient)

using namespace remoe;

namespace {

const int32_t* require_tokens(uint64_t address, int32_t count, int32_t vocabulary) {
  const int32_t* tokens = require_address<const int32_t>(address, "tokens");
  for (int32_t i = 0; i < count; ++i) {
    require(tokens[i] >= 0 && tokens[i] < vocabulary, REMOE_OUT_OF_RANGE,
            "token %d at position %d is outside the vocabulary of %d", tokens[i], i, vocabulary);
  }
  return tokens;
}

}  // namespace

int32_t remoe_embedding_forward(uint64_t context, int32_t dtype, uint64_t y, uint64_t table,
                                uint64_t tokens, int32_t count, int32_t hidden,
                                int32_t vocabulary) {
  return guard(context, "embedding_forward", [&](Context& open) {
    require_size(count, "count");
    require_size(hidden, "hidden");
    require_size(vocabulary, "vocabulary");
    require_float(dtype);
    const int32_t* ids = require_tokens(tokens, count, vocabulary);
    REMOE_DISPATCH(open, embedding_forward, bytes_of(dtype),
                   static_cast<uint8_t*>(require_elements(y, dtype, "y")),
                   static_cast<const uint8_t*>(require_elements(table, dtype, "table")), ids, count,
                   hidden);
  });
}

int32_t remoe_embedding_gradient(uint64_t context, int32_t dtype, uint64_t dtable, uint64_t dy,
                                 uint64_t tokens, int32_t count, int32_t hidden, int32_t vocabulary,
                                 int32_t accumulate) {
  return guard(context, "embedding_gradient", [&](Context& open) {
    require_size(count, "count");
    require_size(hidden, "hidden");
    require_size(vocabulary, "vocabulary");
    require_float(dtype);
    REMOE_DISPATCH(open, embedding_gradient, dtype, require_address<float>(dtable, "dtable"),
                   require_elements(dy, dtype, "dy"), require_tokens(tokens, count, vocabulary),
                   count, hidden, vocabulary, accumulate != 0);
  });
}
#endif  // REMOE_ENTRY_POINTS
