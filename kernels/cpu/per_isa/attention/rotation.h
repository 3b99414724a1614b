// The rotation of heads by their position: angles, and turning a head by them.
#pragma once

#include <cmath>
#include <cstdint>

#include "per_isa/simd/elements.h"

namespace remoe::REMOE_TARGET {

// Positions whose angles are derived from the first by repeated fp64 rotation, one position at a
// time: cos and sin of 32 positions then cost as much as those of one, with an error of at most 32
// * 2^-53.
inline constexpr int kTurns = 32;

// The angles per position [half] by which pairs are turned.
inline void fill_frequencies(double* frequencies, int half, double base) {
  for (int i = 0; i < half; ++i) frequencies[i] = std::pow(base, -static_cast<double>(i) / half);
}

// Fills cos and sin [positions, half] for positions first, first + 1, ...
inline void fill_angles(float* cosine, float* sine, int64_t positions, int half,
                        const double* frequencies, int64_t first, bool inverse) {
  for (int i = 0; i < half; ++i) {
    const double frequency = frequencies[i];
    const double turn_cos = positions > 1 ? std::cos(frequency) : 1.0;
    const double turn_sin = positions > 1 ? std::sin(frequency) : 0.0;
    double c = 0, s = 0;
    for (int64_t p = 0; p < positions; ++p) {
      if (p % kTurns == 0) {
        const double angle = static_cast<double>(first + p) * frequency;
        c = std::cos(angle);
        s = std::sin(angle);
      }
      cosine[p * half + i] = static_cast<float>(c);
      sine[p * half + i] = static_cast<float>(inverse ? -s : s);
      const double next = c * turn_cos - s * turn_sin;
      s = s * turn_cos + c * turn_sin;
      c = next;
    }
  }
}

template <class T>
void turn_head(T* x, const float* cosine, const float* sine, int half) {
  each_vector(half, [&](auto at, int64_t i) {
    const auto a = at.load(x + i), b = at.load(x + i + half);
    const auto c = at.load(cosine + i), s = at.load(sine + i);
    at.store(x + i, a * c - b * s);
    at.store(x + i + half, b * c + a * s);
  });
}

}  // namespace remoe::REMOE_TARGET
