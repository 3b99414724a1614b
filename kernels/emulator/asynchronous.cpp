#include "asynchronous.h"

#include <utility>
#include <vector>

#include "device.h"
#include "device_memory.h"
#include "ordering.h"
#include "scheduler_state.h"
#include "shared_memory.h"

namespace remoe::emulator {
namespace {

constexpr int kSeldom = 8;  // one in so many switches finishes something, in random orders

std::vector<std::function<void()>>& under_way() {
  static std::vector<std::function<void()>> work;
  return work;
}

bool is_random(const Block& block) {
  return block.order == Order::kRandom || block.order == Order::kPriority;
}

}  // namespace

void start(std::function<void()> finish) {
  if (running_block().order == Order::kReverse) return finish();
  under_way().push_back(std::move(finish));
}

bool finish_one() {
  auto& work = under_way();
  if (work.empty()) return false;
  Block& block = running_block();
  const size_t chosen = is_random(block) ? block.random() % work.size() : 0;
  const auto finish = std::move(work[chosen]);
  work.erase(work.begin() + static_cast<ptrdiff_t>(chosen));
  finish();
  return true;
}

void advance() {
  Block& block = running_block();
  while (is_random(block) && block.random() % kSeldom == 0 && finish_one()) {
  }
}

bool is_early() {
  Block& block = running_block();
  return is_random(block) ? block.random() % 2 == 0 : block.order == Order::kReverse;
}

void wait_on(const void* what, Site site, const std::function<bool()>& ready) {
  Fiber& self = *running_block().current;
  while (!ready()) {
    self.site = site;
    self.state = State::kWaiting;
    self.waits_on = what;
    yield_fiber();
  }
}

void wake(const void* what) {
  Block& block = running_block();
  for (int i = 0; i < block.threads; i++) {
    Fiber& fiber = block.fibers[i];
    if (fiber.state != State::kWaiting || fiber.waits_on != what) continue;
    fiber.state = State::kReady;
    block.ready.push_back(i);
  }
}

uint32_t shared_place(const void* p, size_t bytes, size_t alignment, const char* what, Site site) {
  const size_t offset = shared_offset(p);
  const size_t size = running_block().launch->shared_bytes;
  if (offset >= size || bytes > size - offset) {
    fault((std::string(what) + " outside of the launch's shared memory").c_str(), site);
  }
  if (offset % alignment != 0) {
    fault((std::string(what) + " in shared memory at " + std::to_string(offset) +
           ", not a multiple of " + std::to_string(alignment))
              .c_str(),
          site);
  }
  return static_cast<uint32_t>(offset);
}

void require_hopper(Site site) {
  if (device().capability != 90) fault("an instruction of compute capability 9.0", site);
}

void require_global(const void* p, size_t bytes, const char* what, Site site) {
  if (is_open(p, bytes)) return;
  fault((std::string(what) + " of " + std::to_string(bytes) + " bytes out of bounds").c_str(),
        site);
}

void fail_block(std::string text) {
  Block& block = running_block();
  if (block.current != nullptr) abort_launch(std::move(text));
  if (block.failure.empty()) block.failure = std::move(text);
}

void asynchronous_block_begins(int threads) {
  under_way().clear();
  ordering::block_begins(threads);
  barriers_begin();
  copies_begin(threads);
  wgmma_begins(threads);
}

void asynchronous_thread_ends() {
  const int thread = running_block().current->thread;
  copies_thread_ends(thread);
  wgmma_thread_ends(thread);
}

void set_registers(int count, Site site) {
  // What the instruction takes, whatever the block has left.
  if (count < 24 || count > 256 || count % 8 != 0) {
    fault("setmaxnreg takes multiples of 8 from 24 to 256", site);
  }
  warp_collective(0xffffffffu, [](unsigned, void**) {}, nullptr, false, site);
}

}  // namespace remoe::emulator
