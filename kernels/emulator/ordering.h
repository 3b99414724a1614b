// Which accesses to shared memory come before which, in blocks that use Hopper's barriers and
// asynchronous copies. The plain build has stubs (no_checker.cpp).
//
// Stamp.h's few clocks cannot tell what an mbarrier orders, so such a block keeps a vector clock
// for every agent: its threads, the copies of each thread, those that count on each mbarrier, and
// the products of each warp. Work that runs asynchronously knows what its thread knew when it was
// issued, and is known to those who wait for it alone: copies of one thread that count on several
// mbarriers may end in any order. Asynchronous reads also need a proxy fence between ordinary
// writes and themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernel_language.h"
#include "race_checker.h"

namespace remoe::emulator::ordering {

struct Clock;
// What is known to have happened; null in the plain build.
using Known = std::shared_ptr<Clock>;

struct Work {
  Known before;
  int agent = 0;
  uint32_t number = 0;
};

// Until a block starts to be ordered here, the barriers of all kernels order it.
void block_begins(int threads);
void start();
bool is_active();

// What a thread knows now, and its own accesses so far.
Known release(int thread);
void acquire(int thread, const Known& known);
void join(Known& into, const Known& known);
// Threads that wait for each other: those of [first, first + count) that `mask` names, or all that
// are at a barrier.
void meet_lanes(int first, unsigned mask);
void meet_block();
// Between the thread's earlier ordinary writes, or those it knows of, and asynchronous reads.
void fence(int thread);

// Work of a thread's copies, of those that count on an mbarrier, or of a warp's products.
Work begin_copy(int thread);
Work begin_copy(int thread, const void* barrier, Site site);
Work begin_product(int first_thread);
Known done(const Work& work);

// Accesses to shared memory by a thread, at a line of the kernel or in its code, and by work.
void access(const void* address, size_t bytes, checker::Access access, Site site);
void access(size_t offset, size_t bytes, checker::Access access, const void* caller);
void access(const Work& work, const void* address, size_t bytes, checker::Access access,
            bool is_ordinary, Site site);

}  // namespace remoe::emulator::ordering
