// Attention of new tokens against the keys and values in a cache.
//
// First all new tokens are rotated and appended, then each attends to its row up to itself: few
// tokens of a sequence one by one, and more in the blocks of attention_forward.h, whose keys begin
// at multiples of 64, so that a token's result does not depend on which others came with it.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "per_isa/attention/attention_forward.h"
#include "per_isa/attention/extend_token.h"
#include "per_isa/attention/rotation.h"
#include "per_isa/kernel.h"

namespace remoe::REMOE_TARGET {
namespace extend {

// Whether tokens of a sequence are faster in blocks: those compute 16 queries and whole blocks of
// keys, in the time that single tokens take for 5 of the queries.
inline bool better_in_blocks(int64_t length, int64_t count) {
  return count * (length + count) >= 5 * round_up(length + count, kBlock);
}

// Adjacent new tokens of one sequence.
struct Run {
  int64_t token;     // in qkv
  int64_t position;  // in its sequence
  int64_t count;
  int64_t row;  // of the cache
  bool in_block;
};

// State shared by the tasks of one call.
template <class T>
struct Extension : ExtendCall<T> {
  int64_t heads_of_group;
  int64_t row_step;  // elements between tokens of the cache
  int64_t longest = 0;
  float scale;

  explicit Extension(const ExtendCall<T>& call)
      : ExtendCall<T>(call),
        heads_of_group(call.heads / call.groups),
        row_step(int64_t{2} * call.groups * call.head_dim),
        scale(1.0f / std::sqrt(static_cast<float>(call.head_dim))) {
    for (int i = 0; i < call.sequences; ++i) {
      longest = std::max<int64_t>(longest, length(i) + count(i));
    }
  }

  int64_t length(int sequence) const { return this->lengths[this->row(sequence)]; }
  int64_t count(int sequence) const { return this->start(sequence + 1) - this->start(sequence); }

  // All new tokens in runs of at most `most`, sequence by sequence.
  std::vector<Run> runs(int64_t most) const {
    std::vector<Run> all;
    for (int i = 0; i < this->sequences; ++i) {
      const bool in_block = better_in_blocks(length(i), count(i));
      for (int64_t done = 0; done < count(i); done += most) {
        all.push_back({this->start(i) + done, length(i) + done, std::min(most, count(i) - done),
                       this->row(i), in_block});
      }
    }
    return all;
  }

  T* cached(const Run& run, int64_t position) const {
    return this->cache + (run.row * this->capacity + position) * row_step;
  }
  GroupOf<T> group(const Run& run, int64_t index) const {
    const int64_t dim = this->head_dim, head = index * heads_of_group * dim;
    const int64_t out_step = this->heads * dim;
    const T* keys = cached(run, 0) + index * dim;
    return {this->qkv + run.token * this->stride + head,
            this->stride,
            this->out + run.token * out_step + head,
            out_step,
            keys,
            keys + this->groups * dim,
            row_step,
            static_cast<int>(heads_of_group),
            this->head_dim};
  }
};

// Rotates a run's queries and keys, and appends its keys and values to the cache. `angles` has room
// for those of the run, cosines and sines.
template <class T>
void append(const Extension<T>& call, const Run& run, const double* frequencies, float* angles) {
  const int half = call.head_dim / 2;
  float* sine = angles + run.count * half;
  fill_angles(angles, sine, run.count, half, frequencies, run.position, false);
  const int64_t keys = int64_t{call.heads} * call.head_dim;
  for (int64_t i = 0; i < run.count; ++i) {
    T* qkv = call.qkv + (run.token + i) * call.stride;
    for (int head = 0; head < call.heads + call.groups; ++head) {
      turn_head(qkv + int64_t{head} * call.head_dim, angles + i * half, sine + i * half, half);
    }
    std::memcpy(call.cached(run, run.position + i), qkv + keys, call.row_step * sizeof(T));
  }
}

template <class T>
void append_all(Context& context, const Extension<T>& call) {
  constexpr int64_t kAngle = 100;  // operations of a cosine and a sine
  const int half = call.head_dim / 2;
  Scratch<double> frequencies(context, half);
  fill_frequencies(frequencies.data(), half, call.base);
  const int64_t angles = round_up(int64_t{2} * kTurns * half, 16);
  Scratch<float> memory(context, context.threads * angles);
  const std::vector<Run> runs = call.runs(kTurns);
  const auto count = static_cast<int64_t>(runs.size());
  const int64_t cost = kAngle * half + int64_t{4} * call.stride * runs[0].count;
  const int parts = parts_for(context, count, cost);
  parallel_parts(context, parts, [&](int part) {
    const Range range = part_of(count, parts, part);
    for (int64_t i = range.begin; i < range.end; ++i) {
      append(call, runs[i], frequencies.data(), memory.data() + part * angles);
    }
  });
}

// Attends with the heads of a group for a run of at most kBlock tokens.
template <class E, class T>
void attend_block(const Extension<T>& call, const forward::Memory<E>& memory,
                  const GroupOf<T>& group, const Run& run) {
  const ScoreScale<E> scale(call.scale);
  const int64_t dim = call.head_dim, end = run.position + run.count;
  const auto queries = static_cast<int>(round_up(run.count, kStep));
  for (int64_t i = 0; i < group.heads; ++i) {
    const forward::QueryBlock<E> block = memory.block(i, call);
    copy_transposed(block.qt, group.query + i * dim, group.query_step, run.count, dim,
                    scale.of_queries());
    clear(block.out, dim);
    std::fill(block.largest, block.largest + kBlock, -std::numeric_limits<float>::infinity());
  }
  for (int64_t key = 0; key < end; key += kBlock) {
    const int64_t keys = std::min<int64_t>(kBlock, end - key);
    copy_along(memory.keys, group.keys + key * group.row, group.row, keys, dim);
    copy_across(memory.values, group.values + key * group.row, group.row, keys, dim, Unscaled{});
    const OffsetMask mask{
        static_cast<int>(std::clamp<int64_t>(run.position - key, -kBlock, kBlock)), queries};
    for (int64_t i = 0; i < group.heads; ++i) {
      const forward::QueryBlock<E> block = memory.block(i, call);
      score_block(memory.scores, memory.keys, block.qt, dim, mask);
      forward::softmax_block(block, memory.scores, dim, mask, key == 0, scale);
      add_over_keys(block.out, memory.weights(), memory.values, dim, mask);
    }
  }
  for (int64_t i = 0; i < group.heads; ++i) {
    const forward::QueryBlock<E> block = memory.block(i, call);
    write_rows(group.out + i * dim, group.out_step, block.out, run.count, dim,
               [&](int64_t r) { return 1.0f / block.total[r]; });
  }
}

// A thread's scratch: for tokens or for a block, one at a time.
template <class E>
struct ThreadMemory {
  TokenMemory tokens;
  forward::Memory<E> block;

  template <class Call>
  ThreadMemory(Workspace& memory, const Call& call) : tokens(memory, call), block(memory, call) {}
};

// Operations, roughly, per element of a head.
inline int64_t work_of(const Run& run) { return run.count * (run.position + run.count); }

// Calls body(task, thread) for the tasks of all runs, one per group. Blocks are scheduled
// dynamically, the longest first. Tokens are not: their keys and values, and often no more than
// those, are in the cache of the thread that appended them.
template <class Body>
void for_each_task(const Context& context, std::vector<Run>& runs, int64_t groups, int64_t cost,
                   Body&& body) {
  int64_t total = 0;
  bool in_blocks = false;
  for (const Run& run : runs) {
    total += work_of(run);
    in_blocks = in_blocks || run.in_block;
  }
  const int64_t tasks = static_cast<int64_t>(runs.size()) * groups;
  const int parts = parts_for(context, tasks, cost * total / static_cast<int64_t>(runs.size()));
  if (parts > 1 && in_blocks) {
    std::stable_sort(runs.begin(), runs.end(),
                     [&](const Run& a, const Run& b) { return work_of(a) > work_of(b); });
    return parallel_tasks(context, tasks, body);
  }
  parallel_parts(context, parts, [&](int part) {
    int64_t begun = 0;
    for (int64_t task = 0; task < tasks; ++task) {
      if (begun * parts / (total * groups) == part) body(task, part);
      begun += work_of(runs[task / groups]);
    }
  });
}

template <class T>
void attend_all(Context& context, const Extension<T>& call) {
  using Memory = ThreadMemory<TileElement<T>>;
  std::vector<Run> runs = call.runs(kBlock);
  const int64_t thread_floats = layout_floats<Memory>(call);
  Scratch<float> memory(context, context.threads * thread_floats);
  const int64_t cost = call.heads_of_group * call.head_dim;
  for_each_task(context, runs, call.groups, cost, [&](int64_t task, int thread) {
    const Run& run = runs[task / call.groups];
    const GroupOf<T> group = call.group(run, task % call.groups);
    Workspace of_thread(memory.data() + thread * thread_floats);
    const Memory own(of_thread, call);
    if (run.in_block) return attend_block(call, own.block, group, run);
    for (int64_t i = 0; i < run.count; ++i) {
      attend_token(group, own.tokens, i, run.position + i + 1);
    }
  });
}

}  // namespace extend

template <class T>
void extend_all(Context& context, const ExtendCall<T>& arguments) {
  const extend::Extension<T> call(arguments);
  extend::append_all(context, call);
  extend::attend_all(context, call);
}

}  // namespace remoe::REMOE_TARGET
