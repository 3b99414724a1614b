// The tensor cores' warp instruction, from compute capability 8.0 on: 16 x 8 += 16 x 16 times
// 16 x 8, bf16 operands and fp32 sums.
//
// With g = lane / 4 and t = lane % 4, a lane holds
//   a: rows g and g + 8, columns 2t, 2t + 1 (a[0], a[1]), and 2t + 8, 2t + 9 (a[2], a[3])
//   b: rows 2t, 2t + 1 (b[0]) and 2t + 8, 2t + 9 (b[1]), column g
//   c: row g, columns 2t, 2t + 1 (c[0], c[1]), and row g + 8 (c[2], c[3])
// the first of a pair in the lower half of its register.
#pragma once

#include "device/bf16.h"

namespace remoe {

#ifdef __CUDACC__

__device__ __forceinline__ void multiply_16x8x16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                                 uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#else

namespace emulator {

struct Fragments {
  float* c;
  const uint32_t* a;
  uint32_t b[2];
};

inline void combine_16x8x16(unsigned, void** arguments) {
  if (!counter::product(2L * 16 * 8 * 16)) return;
  const auto lanes = reinterpret_cast<Fragments* const*>(arguments);
  const auto half = [](uint32_t pair, int index) {
    return __uint_as_float(index == 0 ? pair << 16 : pair & 0xffff0000u);
  };
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; lane++) {
    const int g = lane / 4;
    for (int i = 0; i < 8; i++) {
      const int column = lane % 4 * 2 + i % 2 + i / 4 * 8;
      a[g + i / 2 % 2 * 8][column] = half(lanes[lane]->a[i / 2], i % 2);
      if (i / 2 % 2 == 0) b[column][g] = half(lanes[lane]->b[i / 4], i % 2);
    }
  }
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < 4; i++) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      float sum = lanes[lane]->c[i];
      for (int k = 0; k < 16; k++) sum += a[row][k] * b[k][column];
      lanes[lane]->c[i] = sum;
    }
  }
}

}  // namespace emulator

__device__ __forceinline__ void multiply_16x8x16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                                 uint32_t b1,
                                                 emulator::Site site = emulator::Site()) {
  emulator::Fragments own = {c, a, {b0, b1}};
  emulator::warp_collective(0xffffffffu, emulator::combine_16x8x16, &own, false, site);
}

#endif

}  // namespace remoe
