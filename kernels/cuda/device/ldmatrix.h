// Fragments of the tensor cores' warp instruction (device/mma.h) from shared memory.
#pragma once

#include "device/gpu.h"

namespace remoe {

// Four matrices of 8 x 8 elements of 2 bytes. Lane l gives the address of row l % 8 of matrix l /
// 8, 16 adjacent bytes, and gets of each matrix elements 2t, 2t + 1 of row g, with g = l / 4 and t
// = l % 4, the first in the lower half; of the transposed matrix if kTransposed.
template <bool kTransposed>
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], const void* row) {
#ifdef __CUDACC__
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  // Volatile and with memory clobbered: the compiler must not move it across barriers.
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
  }
#else
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int g = lane / 4, t = lane % 4;
  const emulator::MatrixLoad counted(row);
  for (int matrix = 0; matrix < 4; matrix++) {
    const auto row_of = [&](int r) {
      return static_cast<const uint16_t*>(__shfl_sync(0xffffffffu, row, matrix * 8 + r));
    };
    if constexpr (kTransposed) {
      const uint16_t* first = row_of(2 * t);
      const uint16_t* second = row_of(2 * t + 1);
      to[matrix] = first[g] | static_cast<uint32_t>(second[g]) << 16;
    } else {
      const uint16_t* own = row_of(g);
      to[matrix] = own[2 * t] | static_cast<uint32_t>(own[2 * t + 1]) << 16;
    }
  }
#endif
}

}  // namespace remoe
