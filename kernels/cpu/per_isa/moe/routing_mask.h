// The routers' mask: one bit per pair of token and expert, as remoe.h describes it under "Routers".
#pragma once

#include <bit>
#include <cstdint>

#include "per_isa/simd/vector_math.h"

namespace remoe::REMOE_TARGET {

// Words per token.
REMOE_INLINE int mask_words(int experts) { return (experts - 1) / 32 + 1; }

// Which bits of the last word are experts. The others are no router's to set, but a caller's mask
// must not make the library write outside its buffers.
REMOE_INLINE uint32_t last_word_bits(int experts) {
  return ~uint32_t{0} >> (31 - (experts - 1) % 32);
}

// body(expert) for each expert of a token's words, ascending: the cost is that of the set bits.
template <class Body>
REMOE_INLINE void for_each_routed(const int32_t* mask, int experts, Body&& body) {
  const int words = mask_words(experts);
  for (int word = 0; word < words; ++word) {
    uint32_t bits = static_cast<uint32_t>(mask[word]);
    if (word == words - 1) bits &= last_word_bits(experts);
    for (; bits != 0; bits &= bits - 1) body(32 * word + std::countr_zero(bits));
  }
}

// Writes one token's words from values that are not 0 where it is routed, and adds them to
// `counts`.
REMOE_INLINE void write_mask(int32_t* mask, int32_t* counts, const float* values, int experts) {
  for (int e = 0; e < experts; ++e) counts[e] += values[e] != 0.0f;
  for (int first = 0; first < experts; first += 32) {
    const int bits = experts - first < 32 ? experts - first : 32;
    uint32_t word = 0;
    for (int bit = 0; bit < bits; ++bit) {
      word |= static_cast<uint32_t>(values[first + bit] != 0.0f) << bit;
    }
    mask[first / 32] = static_cast<int32_t>(word);
  }
}

}  // namespace remoe::REMOE_TARGET
