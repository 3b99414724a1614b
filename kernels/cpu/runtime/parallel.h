// Loops over the context's threads. The split depends only on the sizes and the number of threads,
// so the same inputs give the same bits.
//
// A body must not throw: no exception may leave a parallel region. Allocate scratch outside.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "runtime/context.h"

namespace remoe {

// Work below which a thread is not worth waking: entering a parallel region costs about 2 us, the
// time of some 16,000 simple operations on cached memory.
inline constexpr int64_t kGrain = 16384;

struct Range {
  int64_t begin;
  int64_t end;
};

// The part-th of `parts` contiguous ranges of [0, count). All sizes but the last are multiples of
// `multiple`.
inline Range part_of(int64_t count, int64_t parts, int64_t part, int64_t multiple = 1) {
  const int64_t blocks = (count + multiple - 1) / multiple;
  const int64_t begin = blocks * part / parts * multiple;
  const int64_t end = blocks * (part + 1) / parts * multiple;
  return {std::min(begin, count), std::min(end, count)};
}

// The number of parts that `count` elements of `cost` operations each are worth.
inline int parts_for(const Context& context, int64_t count, int64_t cost = 1) {
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, cost));
  return static_cast<int>(std::clamp<int64_t>(count / grain, 1, context.threads));
}

// Calls body(part) for each of `parts` parts, each on its own thread; parts <= context.threads.
template <class Body>
void parallel_parts(const Context& context, int parts, Body&& body) {
  if (parts <= 1) {
    body(0);
    return;
  }
  // The loop also covers a smaller team than requested: the split remains that of `parts`.
#pragma omp parallel for schedule(static, 1) num_threads(std::min(parts, context.threads))
  for (int part = 0; part < parts; ++part) body(part);
}

// Calls body(begin, end) on contiguous ranges of [0, count), one per thread. `cost`, in operations
// per element, decides from what count on threads are woken.
template <class Body>
void parallel_ranges(const Context& context, int64_t count, int64_t cost, Body&& body) {
  const int parts = parts_for(context, count, cost);
  // Cheap elements are split at cache lines, so that no two threads write to the same one.
  const int64_t multiple = cost <= 4 ? 16 : 1;
  parallel_parts(context, parts, [&](int part) {
    const Range range = part_of(count, parts, part, multiple);
    if (range.begin < range.end) body(range.begin, range.end);
  });
}

// Calls body(task, thread) for each task in [0, count), scheduled dynamically; `thread` is in [0,
// context.threads), for per-thread scratch. Deterministic only if a task's results depend neither
// on the thread that runs it nor on what ran before.
template <class Body>
void parallel_tasks(const Context& context, int64_t count, Body&& body) {
  if (count <= 1 || context.threads == 1) {
    for (int64_t task = 0; task < count; ++task) body(task, 0);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1) \
    num_threads(static_cast<int>(std::min<int64_t>(count, context.threads)))
  for (int64_t task = 0; task < count; ++task) body(task, omp_get_thread_num());
}

}  // namespace remoe
