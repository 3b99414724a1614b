#include "scheduler.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "asynchronous.h"
#include "checker.h"
#include "counter.h"
#include "scheduler_state.h"
#include "shared_memory.h"

namespace remoe::emulator {
namespace {

// Index into `ready` of the thread to resume.
size_t pick(Block& block) {
  const std::vector<int>& ready = block.ready;
  switch (block.order) {
    case Order::kRandom:
      return block.random() % ready.size();
    case Order::kPriority: {
      const auto lower = [&](int a, int b) {
        return block.fibers[a].priority < block.fibers[b].priority;
      };
      return std::max_element(ready.begin(), ready.end(), lower) - ready.begin();
    }
    default:
      return ready.size() - 1;  // the newest, to get as far ahead of the rest as possible
  }
}

Fiber& take_next(Block& block) {
  std::swap(block.ready[pick(block)], block.ready.back());
  Fiber& next = block.fibers[block.ready.back()];
  block.ready.pop_back();
  return next;
}

// The body of every fiber.
void thread_main() {
  Block& block = running_block();
  block.launch->run(block.launch->call.get());
  asynchronous_thread_ends();
  Fiber& self = *block.current;
  self.state = State::kDone;
  block.alive--;
  block.warps[self.warp].alive &= ~(1u << self.lane);
  // A barrier counts only the remaining threads.
  if (block.alive > 0 && block.at_barrier == block.alive) release_barrier(block);
  yield_fiber();
  std::abort();  // a finished fiber is never resumed
}

void prepare_threads(Block& block) {
  const dim3 size = block.launch->block;
  block.threads = static_cast<int>(size.x * size.y * size.z);
  if (block.fibers.size() < static_cast<size_t>(block.threads)) block.fibers.resize(block.threads);
  block.warps.assign((block.threads + 31) / 32, Warp());
  block.ready.clear();
  block.alive = block.threads;
  block.at_barrier = 0;
  uint32_t warp_priority = 0;
  for (int i = 0; i < block.threads; i++) {
    Fiber& fiber = block.fibers[i];
    const unsigned u = static_cast<unsigned>(i);
    fiber.index = dim3(u % size.x, u / size.x % size.y, u / (size.x * size.y));
    fiber.thread = i;
    fiber.lane = i % 32;
    fiber.warp = i / 32;
    fiber.state = State::kReady;
    fiber.barriers = 0;
    fiber.warp_barriers = 0;
    if (fiber.lane == 0) warp_priority = static_cast<uint32_t>(block.random()) & 0xffffff00u;
    fiber.priority = warp_priority | (static_cast<uint32_t>(block.random()) & 0xffu);
    fiber.stack.prepare(fiber.suspended, thread_main);
    block.warps[fiber.warp].alive |= 1u << fiber.lane;
    block.ready.push_back(i);
  }
  // The last entry of `ready` runs first.
  if (block.order != Order::kReverse) std::reverse(block.ready.begin(), block.ready.end());
}

const char* describe(State state) {
  switch (state) {
    case State::kAtBarrier:
      return "__syncthreads";
    case State::kAtCollective:
      return "a warp collective";
    default:
      return "a barrier";
  }
}

std::string describe_deadlock(const Block& block) {
  std::string text = "deadlock:";
  int shown = 0;
  for (int i = 0; i < block.threads; i++) {
    const Fiber& fiber = block.fibers[i];
    if (fiber.state == State::kDone || ++shown > 6) continue;
    text += std::string(" thread ") + std::to_string(i) + " waits at " + describe(fiber.state) +
            " " + fiber.site.file + ":" + std::to_string(fiber.site.line) + ";";
  }
  return text;
}

void run_block(Block& block) {
  prepare_threads(block);
  poison_shared_memory(block.launch->shared_bytes);
  asynchronous_block_begins(block.threads);
  while (block.alive > 0 && block.failure.empty()) {
    if (block.ready.empty() && finish_one()) continue;
    if (block.ready.empty()) {
      block.failure = describe_deadlock(block);
      break;
    }
    block.current = &take_next(block);
    switch_stack(block.scheduler, block.current->suspended);
    block.current = nullptr;
  }
  while (block.failure.empty() && finish_one()) {
  }
  counter::block_ends();
}

std::vector<uint32_t> block_order(Block& block, uint32_t blocks) {
  std::vector<uint32_t> numbers(blocks);
  std::iota(numbers.begin(), numbers.end(), 0);
  if (block.order == Order::kReverse) std::reverse(numbers.begin(), numbers.end());
  if (block.order == Order::kRandom || block.order == Order::kPriority) {
    std::shuffle(numbers.begin(), numbers.end(), block.random);
  }
  return numbers;
}

}  // namespace

Block the_block;

void set_order(Order order, uint64_t seed) {
  Block& block = running_block();
  block.order = order;
  block.seed = seed;
  block.random.seed(seed);
}

void yield_fiber() {
  Block& block = running_block();
  Fiber* self = block.current;
  advance();
  if (block.ready.empty()) {
    switch_stack(self->suspended, block.scheduler);
    return;
  }
  Fiber* next = &take_next(block);
  if (next == self) return;
  block.current = next;
  switch_stack(self->suspended, next->suspended);
}

void requeue_current(Block& block) {
  if (block.order == Order::kForward) return;
  block.ready.push_back(block.current->thread);
  yield_fiber();
}

std::string run_grid(const Launch& launch) {
  Block& block = running_block();
  block.launch = &launch;
  block.failure.clear();
  checker::launch_begins(launch);
  const uint32_t blocks = launch.grid.x * launch.grid.y * launch.grid.z;
  for (const uint32_t number : block_order(block, blocks)) {
    block.number = number;
    block.index = dim3(number % launch.grid.x, number / launch.grid.x % launch.grid.y,
                       number / (launch.grid.x * launch.grid.y));
    run_block(block);
    if (!block.failure.empty()) break;
  }
  checker::launch_ends();
  block.launch = nullptr;
  return std::exchange(block.failure, std::string());
}

void abort_launch(std::string text) {
  Block& block = running_block();
  const Fiber& self = *block.current;
  block.failure = std::move(text) + " (block " + std::to_string(block.number) + ", thread " +
                  std::to_string(self.thread) + ")";
  block.combining = false;
  // The block's other fibers are abandoned as they are: kernels own nothing that needs unwinding.
  switch_stack(block.current->suspended, block.scheduler);
  std::abort();
}

dim3 thread_index() { return running_block().current->index; }
dim3 block_index() { return running_block().index; }
dim3 block_size() { return running_block().launch->block; }
dim3 grid_size() { return running_block().launch->grid; }
int lane_index() { return running_block().current->lane; }

}  // namespace remoe::emulator
