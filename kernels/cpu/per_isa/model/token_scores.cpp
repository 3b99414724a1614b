// Scores of tokens by the output head: log-softmax of a target and of the largest logit.
//
// As in cross entropy, logits are computed in chunks of the vocabulary and tiles of rows. Each
// chunk leaves a row's maximum m, its place and sum exp(z - m); these are joined in the order of
// the chunks. With few tiles, chunks are what threads share, each packing its own, to the same
// bits.
#include <cmath>
#include <limits>

#include "per_isa/kernel.h"
#include "per_isa/model/cross_entropy_arguments.h"
#include "per_isa/model/cross_entropy_chunks.h"
#include "per_isa/model/logit_row.h"
#include "per_isa/simd/elements.h"
#include "runtime/dtype.h"

namespace remoe::REMOE_TARGET {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What a chunk says of a row.
struct Part {
  float largest;
  float total;  // sum of exp(z - largest)
  int32_t place;
};

Part part_of_row(const float* z, Chunk chunk) {
  const int columns = chunk.columns();
  const float largest = row_maximum(z, columns);
  int place = 0;
  while (place < columns - 1 && z[place] != largest) ++place;
  const float shift = largest == -kInfinity ? 0.0f : largest;
  return {largest, sum_of_exponentials(z, columns, shift), chunk.begin + place};
}

// The rows that are scored, and what is known of them.
struct Scored {
  const int32_t* tokens;  // [count]
  int64_t count;
  const int32_t* targets;
  Part* parts;          // [chunks, count]
  float* target_logit;  // [count]

  void add(int64_t row, int chunk_index, Chunk chunk, const float* z) const {
    parts[chunk_index * count + row] = part_of_row(z, chunk);
    const int32_t target = targets[tokens[row]];
    if (target >= chunk.begin && target < chunk.end) target_logit[row] = z[target - chunk.begin];
  }
};

template <class T>
struct Head {
  const T *x, *w;
  int hidden;
  int vocabulary;
};

// Logits of rows [begin, end) of the scored ones and one packed chunk.
template <class T>
void score_tile(const Context& context, const Head<T>& head, const Scored& scored, int index,
                Chunk chunk, const Lane<T>* packed, int64_t begin, int64_t end, float* tile) {
  const int n = chunk.columns();
  const OperandOf<T> rows{head.x, head.hidden, false, scored.tokens + begin};
  gemm_packed(const_cast<Context&>(context), static_cast<int>(end - begin), n, head.hidden, 1.0f,
              rows, packed, 0.0f, tile, n);
  for (int64_t row = begin; row < end; ++row) {
    scored.add(row, index, chunk, tile + (row - begin) * n);
  }
}

template <class T>
void score_chunks(Context& context, const Head<T>& head, const Scored& scored,
                  const Chunks& chunks) {
  const auto count = static_cast<int>(scored.count);
  const int64_t tile_floats = int64_t{kTileTokens} * chunks.columns();
  const std::size_t packed_lanes = packed_size<T>(context, head.hidden, chunks.columns());
  const bool few = count < 2 * kTileTokens * context.threads;
  Scratch<float> tiles(context, context.threads * tile_floats);
  Scratch<Lane<T>> packed(context, (few ? context.threads : 1) * packed_lanes);
  const auto columns_of = [&](Chunk chunk) {
    return OperandOf<T>{head.w + chunk.begin, head.vocabulary};
  };
  if (few) {
    parallel_tasks(context, chunks.count(), [&](int64_t task, int thread) {
      const auto i = static_cast<int>(task);
      const Chunk chunk = chunks[i];
      Lane<T>* own = packed.data() + thread * packed_lanes;
      pack(context, head.hidden, chunk.columns(), columns_of(chunk), own);
      for (int64_t begin = 0; begin < count; begin += kTileTokens) {
        score_tile(context, head, scored, i, chunk, own, begin,
                   std::min<int64_t>(count, begin + kTileTokens),
                   tiles.data() + thread * tile_floats);
      }
    });
    return;
  }
  for (int i = 0; i < chunks.count(); ++i) {
    const Chunk chunk = chunks[i];
    pack_on_all_threads<T>(context, head.hidden, chunk.columns(), columns_of(chunk), packed.data());
    for_each_tile(context, count, [&](int64_t begin, int64_t end, int thread) {
      score_tile(context, head, scored, i, chunk, packed.data(), begin, end,
                 tiles.data() + thread * tile_floats);
    });
  }
}

// The chunks of a row joined in their order: of equal maxima, the first counts.
Part join(const Scored& scored, int64_t row, int chunks) {
  Part all = scored.parts[row];
  for (int i = 1; i < chunks; ++i) {
    const Part& part = scored.parts[i * scored.count + row];
    const float now = std::max(all.largest, part.largest);
    const float shift = now == -kInfinity ? 0.0f : now;
    all.total = all.total * exponential(all.largest - shift) +
                part.total * exponential(part.largest - shift);
    if (part.largest > all.largest) all.place = part.place;
    all.largest = now;
  }
  return all;
}

template <class T>
void score(Context& context, const Head<T>& head, const TokenScores& scores, const int32_t* tokens,
           int64_t count, const int32_t* targets) {
  const Chunks chunks(context, head.vocabulary, kChunkColumns);
  Scratch<Part> parts(context, chunks.count() * count);
  Scratch<float> target_logit(context, count);
  const Scored scored{tokens, count, targets, parts.data(), target_logit.data()};
  score_chunks(context, head, scored, chunks);
  for (int64_t row = 0; row < scored.count; ++row) {
    const Part part = join(scored, row, chunks.count());
    const float log_total = std::log(part.total);
    // NaN where the sum is, and where the largest is -infinity.
    const float greedy = (part.largest - part.largest) - log_total;
    if (!(greedy <= 0)) continue;
    const int32_t token = tokens[row];
    scores.log_probability[token] = (scored.target_logit[row] - part.largest) - log_total;
    scores.greedy[token] = part.place;
    scores.greedy_log_probability[token] = greedy;
  }
}

}  // namespace

void token_scores(Context& context, int32_t dtype, const TokenScores& scores, const void* x,
                  const void* w, const int32_t* targets, const int32_t* rows, int count, int tokens,
                  int hidden, int vocabulary) {
  std::fill(scores.log_probability, scores.log_probability + tokens, kNan);
  std::fill(scores.greedy, scores.greedy + tokens, -1);
  std::fill(scores.greedy_log_probability, scores.greedy_log_probability + tokens, kNan);
  Scratch<int32_t> scored(context, count);
  int64_t found = 0;
  for (int i = 0; i < count; ++i) {
    const int32_t token = rows == nullptr ? i : rows[i];
    if (targets[token] >= 0) scored[found++] = token;
  }
  if (found == 0) return;
  with_element(dtype, [&]<class T>() {
    const Head<T> head{static_cast<const T*>(x), static_cast<const T*>(w), hidden, vocabulary};
    score(context, head, scores, scored.data(), found, targets);
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(token_scores)

using namespace remoe;

namespace {

const int32_t* require_listed(uint64_t address, int32_t count, int32_t tokens) {
  const int32_t* rows = optional_address<const int32_t>(address, "rows");
  require(rows != nullptr || count == tokens, REMOE_INVALID_ARGUMENT,
          "count is %d without rows, but there are %d tokens", count, tokens);
  for (int32_t i = 0; rows != nullptr && i < count; ++i) {
    require(rows[i] >= 0 && rows[i] < tokens, REMOE_OUT_OF_RANGE,
            "row %d at position %d is outside the %d tokens", rows[i], i, tokens);
  }
  return rows;
}

}  // namespace

int32_t remoe_token_scores(uint64_t context, int32_t dtype, uint64_t log_probability,
                           uint64_t greedy, uint64_t greedy_log_probability, uint64_t x, uint64_t w,
                           uint64_t targets, uint64_t rows, int32_t count, int32_t tokens,
                           int32_t hidden, int32_t vocabulary) {
  return guard(context, "token_scores", [&](Context& open) {
    require_head(tokens, hidden, vocabulary);
    require_size(count, "count");
    require_float(dtype);
    const TokenScores scores{
        require_address<float>(log_probability, "log_probability"),
        require_address<int32_t>(greedy, "greedy"),
        require_address<float>(greedy_log_probability, "greedy_log_probability")};
    REMOE_DISPATCH(open, token_scores, dtype, scores, require_elements(x, dtype, "x"),
                   require_elements(w, dtype, "w"), require_targets(targets, tokens, vocabulary),
                   require_listed(rows, count, tokens), count, tokens, hidden, vocabulary);
  });
}
#endif  // REMOE_ENTRY_POINTS
