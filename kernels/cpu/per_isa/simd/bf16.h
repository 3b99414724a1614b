// bf16: the upper half of an fp32.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace remoe {

struct Bf16 {
  uint16_t bits;
};

[[gnu::always_inline]] inline float to_float(Bf16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}

// Rounds to nearest, ties to even: adds just under half of the last bit kept, or exactly half if
// that bit is odd. NaN, which would carry into infinity, is made quiet instead.
[[gnu::always_inline]] inline Bf16 to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return {static_cast<uint16_t>((x != x ? bits | 0x400000 : rounded) >> 16)};
}

// From fp64 with a single rounding: an fp32 rounded to odd (towards 0, with the last bit set if
// anything was lost) keeps what the second rounding needs to know.
[[gnu::always_inline]] inline Bf16 to_bf16(double x) {
  const float nearest = static_cast<float>(x);
  uint32_t bits = std::bit_cast<uint32_t>(nearest);
  const bool inexact = static_cast<double>(nearest) != x && x == x && std::isfinite(x);
  if (inexact) {
    if (std::fabs(static_cast<double>(nearest)) > std::fabs(x)) --bits;
    bits |= 1;
  }
  return to_bf16(std::bit_cast<float>(bits));
}

}  // namespace remoe
