// Hopper's instructions, a function each. Sources that include this header are compiled for sm_90a
// alone (kernels/tools/build_cuda.ts): the host launches their kernels only where it runs.
// kernels/emulator/hopper.h has the same names for the emulator.
#pragma once

#include "device/bf16.h"

#ifdef __CUDACC__

#include "device/tensor_map.h"

namespace remoe::hopper {

// Counts arrivals, and bytes that are copied to shared memory. All are valid in shared memory only.
using Barrier = uint64_t;

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// ---- copies into shared memory

// 16 bytes, or 16 zeros. Completion is told by `arrive_copies` or `wait_copies`.
__device__ __forceinline__ void copy_16(void* to, const void* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(inside ? 16 : 0)
               : "memory");
}

__device__ __forceinline__ void wait_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// A box of the tensor to `to`; what lies outside of the tensor becomes zero. Counts its bytes on
// `barrier`.
__device__ __forceinline__ void copy_box(void* to, const TensorMap& map, int x, int y, int z,
                                         Barrier* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(shared_address(to)),
      "l"(&map), "r"(x), "r"(y), "r"(z), "r"(shared_address(barrier))
      : "memory");
}

// `bytes` as they lie, a multiple of 16. Counts them on `barrier`.
__device__ __forceinline__ void copy_bytes(void* to, const void* from, int bytes,
                                           Barrier* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(from), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}

__device__ __forceinline__ void prefetch_map(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// ---- shared memory by ordinary threads: typed accesses would be generic ones

__device__ __forceinline__ void shared_put(void* to, uint32_t v) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(shared_address(to)), "r"(v) : "memory");
}
__device__ __forceinline__ void shared_put(void* to, float v, float w) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(shared_address(to)), "f"(v), "f"(w)
               : "memory");
}
__device__ __forceinline__ uint32_t shared_get(const void* from) {
  uint32_t v;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(v) : "r"(shared_address(from)) : "memory");
  return v;
}
__device__ __forceinline__ float2 shared_get_2(const float* from) {
  float2 v;
  asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];"
               : "=f"(v.x), "=f"(v.y)
               : "r"(shared_address(from))
               : "memory");
  return v;
}
__device__ __forceinline__ uint4 shared_get_16(const void* from) {
  uint4 v;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(shared_address(from))
               : "memory");
  return v;
}

// ---- copies out of shared memory

// A box from `from` to the tensor; what lies outside of the tensor is left out. By one thread,
// whose groups of stores `commit_stores` closes and `wait_stores_read` awaits.
__device__ __forceinline__ void store_box(const TensorMap& map, int x, int y, int z,
                                          const void* from) {
  asm volatile(
      "cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%1, %2, %3}], [%4];" ::"l"(
          &map),
      "r"(x), "r"(y), "r"(z), "r"(shared_address(from))
      : "memory");
}

// The same, added to the fp32 that is there.
__device__ __forceinline__ void add_box(const TensorMap& map, int x, int y, int z,
                                        const void* from) {
  asm volatile(
      "cp.reduce.async.bulk.tensor.3d.global.shared::cta.add.tile.bulk_group"
      " [%0, {%1, %2, %3}], [%4];" ::"l"(&map),
      "r"(x), "r"(y), "r"(z), "r"(shared_address(from))
      : "memory");
}

__device__ __forceinline__ void commit_stores() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

// Until at most `kPending` of this thread's groups have still to read shared memory.
template <int kPending>
__device__ __forceinline__ void wait_stores_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}

// ---- barriers

__device__ __forceinline__ void barrier_init(Barrier* b, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(count)
               : "memory");
}

// After all `barrier_init`, before the barrier that shows them to other threads.
__device__ __forceinline__ void barrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void arrive(Barrier* b) {
  asm volatile(
      "{\n.reg .b64 t;\nmbarrier.arrive.shared::cta.b64 t, [%0];\n}" ::"r"(shared_address(b))
      : "memory");
}

// Arrives, and has the phase wait for `bytes` more.
__device__ __forceinline__ void arrive_expect(Barrier* b, int bytes) {
  asm volatile("{\n.reg .b64 t;\nmbarrier.arrive.expect_tx.shared::cta.b64 t, [%0], %1;\n}" ::"r"(
                   shared_address(b)),
               "r"(bytes)
               : "memory");
}

// Arrives once this thread's earlier `copy_16` are complete.
__device__ __forceinline__ void arrive_copies(Barrier* b) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(b))
               : "memory");
}

// Until the phase of `parity` is over. A wait of seconds can only be a fault of the kernel, and
// traps: a hung kernel would take the whole device with it.
__device__ __forceinline__ void wait(Barrier* b, uint32_t parity) {
  const uint32_t address = shared_address(b);
#pragma unroll 1
  for (int spin = 0; spin < 1000000; spin++) {
    uint32_t done;
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(address), "r"(parity)
        : "memory");
    if (done) return;
  }
  __trap();
}

// Barriers 1 to 15 of the block, for `threads` of it: whole warps.
__device__ __forceinline__ void named_barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ __forceinline__ void named_barrier_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// Between writes of shared memory by ordinary threads (`copy_16` too) and its reads by `wgmma` or
// by stores of boxes.
__device__ __forceinline__ void proxy_fence() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// ---- registers, which warpgroups share out among themselves

template <int kRegisters>
__device__ __forceinline__ void registers_down() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void registers_up() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace remoe::hopper

#include "device/wgmma.h"

#else

#include "../../emulator/hopper.h"

#endif

namespace remoe::hopper {

constexpr int kWarpgroup = 128;

// A matrix in shared memory in the 128-byte swizzle; both distances in bytes. K-major: `stride`
// between groups of 8 rows, `leading` unused. MN-major: `leading` between blocks of 64 columns,
// `stride` between groups of 8 rows of the depth.
__device__ __forceinline__ uint64_t descriptor(const void* p, uint32_t leading, uint32_t stride) {
  return static_cast<uint64_t>((shared_address(p) & 0x3ffff) >> 4) |
         static_cast<uint64_t>(leading >> 4) << 16 | static_cast<uint64_t>(stride >> 4) << 32 |
         static_cast<uint64_t>(1) << 62;
}

}  // namespace remoe::hopper
