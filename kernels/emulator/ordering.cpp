#include "ordering.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include "checker_reports.h"
#include "reports.h"
#include "scheduler_state.h"
#include "shared_memory.h"

namespace remoe::emulator::ordering {

// By agent, the number of its latest access that is known, and of its latest ordinary write that a
// proxy fence has shown to asynchronous reads.
struct Clock {
  std::vector<uint32_t> seen;
  std::vector<uint32_t> fenced;
};

namespace {

using checker::Access;

constexpr int kLanes = 32;
constexpr size_t kMostBarriers = 64;  // that copies count on, in a block
constexpr size_t kCellBytes = 2;      // bf16: nothing smaller is written by two threads

struct Stamp {
  int agent = -1;  // -1: never
  uint32_t number = 0;
};

// Written before the block was ordered here.
constexpr int kBefore = -2;

struct Cell {
  Stamp write;
  bool is_ordinary = false;
  Stamp read;  // further ones in `reads`
};

struct Ordering {
  int threads = 0;
  bool active = false;
  std::vector<Clock> clocks;          // of threads
  std::vector<uint32_t> numbers;      // of asynchronous agents
  std::vector<const void*> barriers;  // that copies count on, in the order of their agents
  std::vector<Cell> cells;
  std::unordered_map<size_t, std::vector<Stamp>> reads;
};

Ordering& all() {
  static Ordering one;
  return one;
}

void raise(std::vector<uint32_t>& to, const std::vector<uint32_t>& from) {
  for (size_t i = 0; i < to.size(); i++) to[i] = std::max(to[i], from[i]);
}

void raise(Clock& to, const Clock& from) {
  raise(to.seen, from.seen);
  raise(to.fenced, from.fenced);
}

bool is_known(const Stamp& stamp, const std::vector<uint32_t>& numbers) {
  return stamp.agent < 0 || stamp.number <= numbers[static_cast<size_t>(stamp.agent)];
}

// An access, by whom, and what is known to it.
struct Now {
  Stamp stamp;
  const Clock& known;
  bool is_asynchronous;
  bool is_ordinary;
};

const char* check_read(size_t index, const Now& now, Stamp& other) {
  Cell& cell = all().cells[index];
  const char* wrong = nullptr;
  if (cell.write.agent == -1) {
    wrong = "uninitialised read";
  } else if (!is_known(cell.write, now.known.seen)) {
    wrong = "read-after-write race";
  } else if (now.is_asynchronous && !now.is_ordinary && cell.is_ordinary &&
             !is_known(cell.write, now.known.fenced)) {
    wrong = "asynchronous read without a proxy fence";
  }
  if (wrong != nullptr) other = cell.write;
  if (is_known(cell.read, now.known.seen) || cell.read.agent == now.stamp.agent) {
    cell.read = now.stamp;
    return wrong;
  }
  auto& more = all().reads[index];
  std::erase_if(more, [&](const Stamp& read) {
    return is_known(read, now.known.seen) || read.agent == now.stamp.agent;
  });
  more.push_back(now.stamp);
  return wrong;
}

// A thread's accesses come one after the other; copies and products of one agent need not, but for
// those of the same work.
bool is_same(const Stamp& earlier, const Now& now) {
  return earlier.agent == now.stamp.agent &&
         (!now.is_asynchronous || earlier.number == now.stamp.number);
}

const char* check_write(size_t index, const Now& now, Stamp& other) {
  Cell& cell = all().cells[index];
  const char* wrong = nullptr;
  const auto meets = [&](const Stamp& earlier, const char* what) {
    if (is_known(earlier, now.known.seen) || is_same(earlier, now)) return;
    wrong = what;
    other = earlier;
  };
  meets(cell.write, "write-after-write race");
  meets(cell.read, "write-after-read race");
  const auto more = all().reads.find(index);
  if (more != all().reads.end()) {
    for (const Stamp& read : more->second) meets(read, "write-after-read race");
    all().reads.erase(more);
  }
  cell = {now.stamp, now.is_ordinary, {}};
  return wrong;
}

int warps() { return (all().threads + kLanes - 1) / kLanes; }

std::string name(int agent) {
  const int threads = all().threads;
  if (agent < threads) return "thread " + std::to_string(agent);
  if (agent < 2 * threads) return "a copy of thread " + std::to_string(agent - threads);
  const int warp = agent - 2 * threads;
  if (warp < warps()) return "wgmma of warp " + std::to_string(warp);
  return "a copy that counts on an mbarrier";
}

void check(size_t offset, size_t bytes, Access access, const Now& now, const std::string& place) {
  if (access == Access::kAtomic) return;  // not in use in such blocks
  const char* wrong = nullptr;
  Stamp other;
  for (size_t i = offset / kCellBytes; i < (offset + bytes + 1) / kCellBytes; i++) {
    const char* found =
        access == Access::kRead ? check_read(i, now, other) : check_write(i, now, other);
    if (found != nullptr) wrong = found;
  }
  if (wrong == nullptr) return;
  add_report(std::string(wrong) + " in shared memory at " + place,
             std::to_string(bytes) + " bytes, block " + std::to_string(running_block().number) +
                 ", " + name(now.stamp.agent) +
                 (other.agent < 0 ? "" : "; other: " + name(other.agent)));
}

std::string describe(Site site) { return std::string(site.file) + ":" + std::to_string(site.line); }

Clock& clock_of(int thread) { return all().clocks[static_cast<size_t>(thread)]; }

Now now_of(int thread) {
  const Clock& clock = clock_of(thread);
  return {{thread, clock.seen[static_cast<size_t>(thread)]}, clock, false, true};
}

// Later accesses of the thread are not part of what it has released.
void advance(int thread) { clock_of(thread).seen[static_cast<size_t>(thread)]++; }

Work begin(int agent, const Known& before) {
  return {before, agent, ++all().numbers[static_cast<size_t>(agent)]};
}

void meet(const std::vector<int>& threads) {
  Clock together = clock_of(threads.front());
  for (const int thread : threads) raise(together, clock_of(thread));
  for (const int thread : threads) {
    clock_of(thread) = together;
    advance(thread);
  }
}

}  // namespace

void block_begins(int threads) {
  all().active = false;
  all().threads = threads;
}

bool is_active() { return all().active; }

void start() {
  Ordering& one = all();
  if (one.active) return;
  one.active = true;
  const auto threads = static_cast<size_t>(one.threads);
  const size_t agents = 2 * threads + static_cast<size_t>(warps()) + kMostBarriers;
  const std::vector<uint32_t> none(agents, 0);
  one.clocks.assign(threads, {none, none});
  for (int thread = 0; thread < one.threads; thread++) advance(thread);
  one.numbers.assign(agents, 0);
  one.barriers.clear();
  one.reads.clear();
  one.cells.assign(kSharedMemoryBytes / kCellBytes + 1, Cell());
  for (size_t i = 0; i < running_block().launch->shared_bytes / kCellBytes; i++) {
    if (checker::is_shared_written(i * kCellBytes)) one.cells[i].write.agent = kBefore;
  }
}

Known release(int thread) {
  if (!is_active()) return nullptr;
  const auto known = std::make_shared<Clock>(clock_of(thread));
  advance(thread);
  return known;
}

void acquire(int thread, const Known& known) {
  if (known != nullptr && is_active()) raise(clock_of(thread), *known);
}

void join(Known& into, const Known& known) {
  if (known == nullptr) return;
  if (into == nullptr) {
    into = std::make_shared<Clock>(*known);
  } else {
    raise(*into, *known);
  }
}

void meet_lanes(int first, unsigned mask) {
  if (!is_active()) return;
  std::vector<int> threads;
  for (int lane = 0; lane < kLanes; lane++) {
    if ((mask >> lane & 1) != 0) threads.push_back(first + lane);
  }
  meet(threads);
}

void meet_block() {
  if (!is_active()) return;
  const Block& block = running_block();
  std::vector<int> threads;
  for (int i = 0; i < block.threads; i++) {
    if (block.fibers[i].state != State::kDone) threads.push_back(i);
  }
  if (!threads.empty()) meet(threads);
}

void fence(int thread) {
  if (!is_active()) return;
  Clock& clock = clock_of(thread);
  clock.fenced = clock.seen;
  advance(thread);
}

Work begin_copy(int thread) {
  start();
  return begin(all().threads + thread, release(thread));
}

Work begin_copy(int thread, const void* barrier, Site site) {
  start();
  auto& known = all().barriers;
  const auto found = std::find(known.begin(), known.end(), barrier);
  const auto nth = static_cast<int>(found - known.begin());
  if (found == known.end()) {
    if (known.size() == kMostBarriers)
      fault("copies count on more than 64 mbarriers; raise kMostBarriers", site);
    known.push_back(barrier);
  }
  return begin(2 * all().threads + warps() + nth, release(thread));
}

Work begin_product(int first_thread) {
  start();
  Known before;
  for (int lane = 0; lane < kLanes; lane++) join(before, release(first_thread + lane));
  return begin(2 * all().threads + first_thread / kLanes, before);
}

Known done(const Work& work) {
  if (work.before == nullptr) return nullptr;
  auto known = std::make_shared<Clock>(*work.before);
  uint32_t& number = known->seen[static_cast<size_t>(work.agent)];
  number = std::max(number, work.number);
  return known;
}

void access(const void* address, size_t bytes, Access access, Site site) {
  start();
  check(shared_offset(address), bytes, access, now_of(running_block().current->thread),
        describe(site));
}

void access(size_t offset, size_t bytes, Access access, const void* caller) {
  check(offset, bytes, access, now_of(running_block().current->thread), checker::locate(caller));
}

void access(const Work& work, const void* address, size_t bytes, Access access, bool is_ordinary,
            Site site) {
  if (work.before == nullptr) return;
  check(shared_offset(address), bytes, access,
        {{work.agent, work.number}, *work.before, true, is_ordinary}, describe(site));
}

}  // namespace remoe::emulator::ordering
