// mbarriers, and the block's named barriers.

#include <unordered_map>
#include <utility>

#include "asynchronous.h"
#include "emulator.h"
#include "hopper.h"
#include "scheduler_state.h"

namespace remoe::emulator {
namespace {

constexpr int kMostBytes = (1 << 20) - 1;  // that a phase can expect
constexpr int kNamed = 16;

struct Phase {
  int count = 0;  // arrivals that a phase takes
  int pending = 0;
  int64_t bytes = 0;  // expected, and not come; negative where they came first
  uint64_t number = 0;
  ordering::Known arriving = nullptr;
  ordering::Known before = nullptr;  // what those know who have seen the last phase end
  int thread = 0;                    // that initialised it
  bool is_shown = false;             // by that thread's fence, to copies
};

struct NamedBarrier {
  int threads = 0;
  int arrived = 0;
  uint64_t number = 0;
  ordering::Known arriving;
  ordering::Known before;
};

struct Barriers {
  std::unordered_map<const void*, Phase> phases;
  NamedBarrier named[kNamed];
};

Barriers& barriers() {
  static Barriers all;
  return all;
}

std::string at(Site site) {
  return std::string(" at ") + site.file + ":" + std::to_string(site.line);
}

Phase& phase_of(const void* barrier, Site site) {
  const auto found = barriers().phases.find(barrier);
  if (found == barriers().phases.end()) fault("an mbarrier that was not initialised", site);
  return found->second;
}

void settle(const void* barrier, Phase& phase) {
  if (phase.pending > 0 || phase.bytes != 0) return;
  phase.pending = phase.count;
  phase.number++;
  phase.before = std::exchange(phase.arriving, nullptr);
  wake(barrier);
}

int own_thread() { return running_block().current->thread; }

void arrive_at(const void* barrier, int64_t expected, const ordering::Known& known, Site site) {
  Phase& phase = phase_of(barrier, site);
  ordering::join(phase.arriving, known);
  phase.bytes += expected;
  if (phase.bytes > kMostBytes) fault("an mbarrier's phase expects 2^20 bytes or more", site);
  if (--phase.pending < 0) return fail_block("an mbarrier's phase takes more arrivals" + at(site));
  settle(barrier, phase);
}

// A warp's lanes arrive one by one, but count together on a GPU.
NamedBarrier& arrive_named(int id, int threads, Site site) {
  if (id < 0 || id >= kNamed) fault("there are 16 named barriers", site);
  NamedBarrier& barrier = barriers().named[id];
  if (threads < 32 || threads % 32 != 0) fault("a named barrier takes whole warps", site);
  if (barrier.arrived > 0 && barrier.threads != threads) {
    fault("threads give a named barrier different counts", site);
  }
  barrier.threads = threads;
  ordering::join(barrier.arriving, ordering::release(own_thread()));
  if (++barrier.arrived == threads) {
    barrier.arrived = 0;
    barrier.number++;
    barrier.before = std::exchange(barrier.arriving, nullptr);
    wake(&barrier);
  }
  return barrier;
}

}  // namespace

void require_shown(const void* barrier, Site site) {
  if (phase_of(barrier, site).is_shown) return;
  fault("a copy that counts on an mbarrier without barrier_init_fence", site);
}

void barriers_begin() { barriers() = Barriers(); }

void complete_bytes(const void* barrier, int64_t bytes, const ordering::Known& known, Site site) {
  Phase& phase = phase_of(barrier, site);
  ordering::join(phase.arriving, known);
  phase.bytes -= bytes;
  settle(barrier, phase);
}

void complete_arrival(const void* barrier, const ordering::Known& known, Site site) {
  arrive_at(barrier, 0, known, site);
}

}  // namespace remoe::emulator

namespace remoe::hopper {

using namespace emulator;

void barrier_init(Barrier* b, int count, Site site) {
  require_hopper(site);
  shared_place(b, sizeof *b, sizeof *b, "an mbarrier", site);
  if (count < 1) fault("an mbarrier of no arrivals", site);
  ordering::start();
  ordering::access(b, sizeof *b, checker::Access::kWrite, site);
  barriers().phases[b] = {.count = count, .pending = count, .thread = own_thread()};
}

void barrier_init_fence() {
  for (auto& [address, phase] : barriers().phases) {
    if (phase.thread == own_thread()) phase.is_shown = true;
  }
}

void arrive(Barrier* b, Site site) { arrive_expect(b, 0, site); }

void arrive_expect(Barrier* b, int bytes, Site site) {
  ordering::access(b, sizeof *b, checker::Access::kRead, site);
  arrive_at(b, bytes, ordering::release(own_thread()), site);
}

void wait(Barrier* b, uint32_t parity, Site site) {
  if (parity > 1) fault("a phase's parity is 0 or 1", site);
  const Phase& phase = phase_of(b, site);
  ordering::access(b, sizeof *b, checker::Access::kRead, site);
  wait_on(b, site, [&] { return (phase.number & 1) != parity; });
  ordering::acquire(own_thread(), phase.before);
}

void named_barrier_arrive(int id, int threads, Site site) { arrive_named(id, threads, site); }

void named_barrier_sync(int id, int threads, Site site) {
  const uint64_t number = barriers().named[id & (kNamed - 1)].number;
  const NamedBarrier& barrier = arrive_named(id, threads, site);
  wait_on(&barrier, site, [&] { return barrier.number != number; });
  ordering::acquire(own_thread(), barrier.before);
}

// Orders all that the thread has written, initialised barriers included.
void proxy_fence() {
  barrier_init_fence();
  ordering::fence(own_thread());
}

}  // namespace remoe::hopper
