// Sorts the positions of a sequence of tokens by token, and positions of the same token ascending.
#pragma once

#include "runtime/operation.h"

namespace remoe {

struct SortedTokens {
  int32_t* tokens;  // [count] ascending; tokens outside the vocabulary are `vocabulary`, at the end
  int32_t* positions;  // [count]
};

// Memory that sorting needs beside its result.
struct SortSpace {
  SortedTokens other;      // [count] each
  uint32_t* digit_counts;  // [sort_tiles(count), 256]
};

int sort_tiles(int count);

// Enqueues the sort, which reports tokens outside the vocabulary to `check`.
void sort_tokens(Operation& op, const SortedTokens& sorted, const SortSpace& space,
                 const int32_t* tokens, int count, int vocabulary, IndexCheck check);

}  // namespace remoe
