// The dispatch plan: which rows each expert computes, and where each token finds its rows.
//
// Rows are ordered by expert, then by token, so a row's position follows without a sort: the rows
// of earlier experts, plus the same expert's rows for earlier tokens. Both come from counts. One
// pass counts pairs per token block and expert, a scan turns the counts into first rows, and a
// second pass over the mask writes the rows. Blocks do not depend on the threads, nor would the
// result if they did.
#include "per_isa/moe/dispatch_plan.h"

#include <algorithm>
#include <limits>

#include "per_isa/kernel.h"
#include "per_isa/moe/routing_mask.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// Large enough that the scan over blocks and experts is little beside the passes over the mask.
constexpr int kBlockTokens = 256;

// Counts per block and expert [blocks, E], rows and empty tokens per block.
struct BlockCounts {
  int32_t* pairs;
  int32_t* rows;
  int32_t* empty;
};

void count_block(const BlockCounts& counts, int64_t block, const int32_t* mask, int64_t begin,
                 int64_t end, int experts) {
  int32_t* pairs = counts.pairs + block * experts;
  std::fill(pairs, pairs + experts, 0);
  const int words = mask_words(experts);
  int32_t rows = 0, empty = 0;
  for (int64_t t = begin; t < end; ++t) {
    int32_t of_token = 0;
    for_each_routed(mask + t * words, experts, [&](int e) {
      ++pairs[e];
      ++of_token;
    });
    rows += of_token;
    empty += of_token == 0;
  }
  counts.rows[block] = rows;
  counts.empty[block] = empty;
}

// Turns the pair counts into first rows, and the rows of a block into its first slot.
void scan(const BlockCounts& counts, int64_t blocks, int experts, int32_t* expert_offset) {
  int32_t row = 0;
  for (int e = 0; e < experts; ++e) {
    expert_offset[e] = row;
    for (int64_t block = 0; block < blocks; ++block) {
      const int32_t count = counts.pairs[block * experts + e];
      counts.pairs[block * experts + e] = row;
      row += count;
    }
  }
  expert_offset[experts] = row;
  int32_t slot = 0;
  for (int64_t block = 0; block < blocks; ++block) {
    const int32_t count = counts.rows[block];
    counts.rows[block] = slot;
    slot += count;
  }
}

}  // namespace

void dispatch_plan(Context& context, int32_t* plan, const int32_t* mask, int tokens, int experts,
                   int capacity) {
  const int64_t blocks = (tokens + kBlockTokens - 1) / kBlockTokens;
  Scratch<int32_t> memory(context, blocks * (experts + 2));
  const BlockCounts counts{memory.data(), memory.data() + blocks * experts,
                           memory.data() + blocks * (experts + 1)};
  const auto tokens_of = [&](int64_t block) {
    return Range{block * kBlockTokens, std::min<int64_t>(tokens, (block + 1) * kBlockTokens)};
  };
  parallel_tasks(context, blocks, [&](int64_t block, int) {
    const Range range = tokens_of(block);
    count_block(counts, block, mask, range.begin, range.end, experts);
  });

  int64_t rows = 0, empty = 0;
  for (int64_t block = 0; block < blocks; ++block) {
    rows += counts.rows[block];
    empty += counts.empty[block];
  }
  plan[REMOE_PLAN_ROWS] =
      static_cast<int32_t>(std::min<int64_t>(rows, std::numeric_limits<int32_t>::max()));
  plan[REMOE_PLAN_OVERFLOW] = rows > capacity;
  plan[REMOE_PLAN_WITHOUT_EXPERT] = static_cast<int32_t>(empty);
  plan[REMOE_PLAN_CAPACITY] = capacity;
  if (rows > capacity) return;

  int32_t* expert_offset = plan + remoe_plan_expert_offset();
  int32_t* token_offset = plan + remoe_plan_token_offset(experts);
  int32_t* row_token = plan + remoe_plan_row_token(tokens, experts);
  int32_t* token_row = plan + remoe_plan_token_row(tokens, experts, capacity);
  const int words = mask_words(experts);
  scan(counts, blocks, experts, expert_offset);
  token_offset[tokens] = static_cast<int32_t>(rows);
  parallel_tasks(context, blocks, [&](int64_t block, int) {
    const Range range = tokens_of(block);
    int32_t* next_row = counts.pairs + block * experts;
    int32_t slot = counts.rows[block];
    for (int64_t t = range.begin; t < range.end; ++t) {
      token_offset[t] = slot;
      for_each_routed(mask + t * words, experts, [&](int e) {
        const int32_t row = next_row[e]++;
        row_token[row] = static_cast<int32_t>(t);
        token_row[slot++] = row;
      });
    }
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(dispatch_plan)

using namespace remoe;

int32_t remoe_dispatch_plan(uint64_t context, uint64_t plan, uint64_t mask, int32_t tokens,
                            int32_t experts, int32_t capacity) {
  return guard(context, "dispatch_plan", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require_size(capacity, "capacity");
    require(int64_t{tokens} * experts <= std::numeric_limits<int32_t>::max(),
            REMOE_INVALID_ARGUMENT,
            "%d tokens and %d experts may have more rows than an i32 can index: use fewer tokens",
            tokens, experts);
    REMOE_DISPATCH(open, dispatch_plan, require_address<int32_t>(plan, "plan"),
                   require_address<const int32_t>(mask, "mask"), tokens, experts, capacity);
  });
}
#endif  // REMOE_ENTRY_POINTS
