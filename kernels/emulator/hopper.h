// The names of kernels/cuda/device/hopper.h for the emulator.
//
// What a GPU does asynchronously happens here as late as the kernel's waits allow (forward order),
// as early as possible (reverse), or at any time between (random, priority): copies count on their
// barriers in any order, stores of boxes read shared memory later than they were issued, and wgmma
// is computed, from its descriptors, between its commit and its wait. Addresses, alignment and
// bounds are checked where an instruction is issued.
#pragma once

#include "kernel_language.h"

namespace remoe::emulator {

void issue_wgmma(float* sums, int count, uint64_t a, uint64_t b, const uint32_t* registers,
                 unsigned transposed, bool keep, Site site);
void wait_wgmma(int pending, Site site);
void wait_stores(int pending, Site site);
void read_shared(void* to, const void* from, size_t bytes, Site site);
void set_registers(int count, Site site);

}  // namespace remoe::emulator

namespace remoe::hopper {

using Barrier = uint64_t;
using TensorMap = CUtensorMap;

// As in kernel_language.h, the call site is a default argument.
#define REMOE_SITE ::remoe::emulator::Site site = ::remoe::emulator::Site()

// Distance from the start of shared memory.
uint32_t shared_address(const void* p, REMOE_SITE);

void copy_16(void* to, const void* from, bool inside, REMOE_SITE);
void wait_copies(REMOE_SITE);
void copy_box(void* to, const TensorMap& map, int x, int y, int z, Barrier* barrier, REMOE_SITE);
void copy_bytes(void* to, const void* from, int bytes, Barrier* barrier, REMOE_SITE);
void prefetch_map(const TensorMap& map, REMOE_SITE);

void shared_put(void* to, uint32_t v, REMOE_SITE);
void shared_put(void* to, float v, float w, REMOE_SITE);
uint32_t shared_get(const void* from, REMOE_SITE);
float2 shared_get_2(const float* from, REMOE_SITE);
// Inline, since the checked build does not see what a call's result is stored to.
inline uint4 shared_get_16(const void* from, REMOE_SITE) {
  uint4 v;
  emulator::read_shared(&v, from, sizeof v, site);
  return v;
}

void store_box(const TensorMap& map, int x, int y, int z, const void* from, REMOE_SITE);
void add_box(const TensorMap& map, int x, int y, int z, const void* from, REMOE_SITE);
void commit_stores(REMOE_SITE);
template <int kPending>
void wait_stores_read(REMOE_SITE) {
  emulator::wait_stores(kPending, site);
}

void barrier_init(Barrier* b, int count, REMOE_SITE);
void barrier_init_fence();
void arrive(Barrier* b, REMOE_SITE);
void arrive_expect(Barrier* b, int bytes, REMOE_SITE);
void arrive_copies(Barrier* b, REMOE_SITE);
void wait(Barrier* b, uint32_t parity, REMOE_SITE);
void named_barrier_arrive(int id, int threads, REMOE_SITE);
void named_barrier_sync(int id, int threads, REMOE_SITE);
void proxy_fence();

template <int kRegisters>
void registers_down(REMOE_SITE) {
  emulator::set_registers(kRegisters, site);
}
template <int kRegisters>
void registers_up(REMOE_SITE) {
  emulator::set_registers(kRegisters, site);
}

void wgmma_fence();
void wgmma_commit(REMOE_SITE);
template <int kPending>
void wgmma_wait(REMOE_SITE) {
  emulator::wait_wgmma(kPending, site);
}
template <int kTransposedA, int kTransposedB, int kSums>
void wgmma(float (&sums)[kSums], uint64_t a, uint64_t b, int keep = 1, REMOE_SITE) {
  emulator::issue_wgmma(sums, kSums, a, b, nullptr, kTransposedA | kTransposedB << 1, keep != 0,
                        site);
}
template <int kTransposedB, int kSums>
void wgmma(float (&sums)[kSums], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint64_t b,
           int keep = 1, REMOE_SITE) {
  const uint32_t a[4] = {a0, a1, a2, a3};
  emulator::issue_wgmma(sums, kSums, 0, b, a, kTransposedB << 1, keep != 0, site);
}

#undef REMOE_SITE

}  // namespace remoe::hopper
