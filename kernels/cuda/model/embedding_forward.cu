// The token embedding: rows of a table.

#include "device/bf16.h"
#include "device/block_scan.h"
#include "model/token_check.h"
#include "runtime/dtype.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

// Rows are copied as they are, in words of 16 bytes or of one element.
template <class Word>
struct LookupArguments {
  Word* y;
  const Word* table;
  const int32_t* tokens;
  IndexCheck check;
  int count;
  int words;  // of a row
  int vocabulary;
};

// One warp per row.
template <class Word>
__global__ void __launch_bounds__(kThreads) look_up_kernel(LookupArguments<Word> a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int first = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  const int stride = static_cast<int>(gridDim.x) * kWarps;
  for (int64_t i = first; i < a.count; i += stride) {
    const int32_t token = a.tokens[i];
    if (token < 0 || token >= a.vocabulary) {
      if (lane == 0) a.check.report(static_cast<int32_t>(i), token);
      continue;
    }
    const Word* from = a.table + static_cast<size_t>(token) * a.words;
    Word* to = a.y + static_cast<size_t>(i) * a.words;
#pragma unroll 4
    for (int k = lane; k < a.words; k += kWarp) to[k] = from[k];
  }
}

template <class Word>
void look_up(Operation& op, uint64_t y, uint64_t table, const int32_t* tokens, IndexCheck check,
             int count, int words, int vocabulary) {
  const LookupArguments<Word> a = {.y = reinterpret_cast<Word*>(y),
                                   .table = reinterpret_cast<const Word*>(table),
                                   .tokens = tokens,
                                   .check = check,
                                   .count = count,
                                   .words = words,
                                   .vocabulary = vocabulary};
  const unsigned most = 16 * static_cast<unsigned>(op.context.multiprocessors);
  op.launch(look_up_kernel<Word>, dim3(grid_blocks(count, kWarps, most)), dim3(kThreads), 0, a);
}

}  // namespace
}  // namespace remoe

int32_t remoe_embedding_forward(uint64_t context, int32_t dtype, uint64_t y, uint64_t table,
                                uint64_t tokens, int32_t count, int32_t hidden,
                                int32_t vocabulary) {
  using namespace remoe;
  return guard(context, "embedding_forward", [&](Operation& op) {
    require_size(count, "count");
    require_size(hidden, "hidden");
    require_size(vocabulary, "vocabulary");
    require_float(dtype);
    require_elements(y, dtype, "y");
    require_elements(table, dtype, "table");
    const int32_t* ids = require_address<const int32_t>(tokens, "tokens");
    const IndexCheck check = op.index_check(fail_at_token, vocabulary);
    const int64_t row_bytes = int64_t{hidden} * bytes_of(dtype);
    if ((row_bytes | y | table) % sizeof(uint4) == 0) {
      const int words = static_cast<int>(row_bytes / sizeof(uint4));
      look_up<uint4>(op, y, table, ids, check, count, words, vocabulary);
    } else if (dtype == REMOE_BF16) {
      look_up<uint16_t>(op, y, table, ids, check, count, hidden, vocabulary);
    } else {
      look_up<uint32_t>(op, y, table, ids, check, count, hidden, vocabulary);
    }
  });
}
