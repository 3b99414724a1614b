// Uniform and normal numbers from Philox.
#include <algorithm>

#include "per_isa/kernel.h"
#include "per_isa/simd/vector_math.h"
#include "per_isa/tensor/philox.h"
#include "runtime/dtype.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

constexpr int64_t kElements = 4 * kPhiloxBlocks;  // per round of blocks

// sqrt(-2 ln u1), u1 = (word + 1) * 2^-32. Near u1 = 1 the logarithm is small, and rounding u1 to
// fp32 would lose it. There 1 - u1 = (2^32 - 1 - word) * 2^-32 is exact, so the upper part of the
// range uses log1p(-(1 - u1)).
REMOE_INLINE float radius(uint32_t word) {
  const float complement = static_cast<float>(~word) * -0x1p-32f;
  const float u1 = (static_cast<float>(word) + 1.0f) * 0x1p-32f;
  const bool near_one = word > 0xb504f333u;  // u1 > sqrt(1/2)
  const float log = near_one ? detail::log1p_reduced(complement) : logarithm(u1);
  return __builtin_sqrtf(-2.0f * log);
}

// cos and sin of 2 pi word * 2^-32. The nearest quarter turn is subtracted from the integer,
// exactly. The remainder is within pi/4, where the minimax polynomials below have relative errors
// under 4e-9.
REMOE_INLINE void turn(uint32_t word, float* cosine, float* sine) {
  const uint32_t quarter = (word + 0x20000000u) >> 30;
  const int32_t rest = static_cast<int32_t>(word - (quarter << 30));
  const float x = static_cast<float>(rest) * (6.283185307179586f * 0x1p-32f);
  const float z = x * x;
  const float s =
      x +
      x * z * (-0.16666655242443085f + z * (0.00833216030150652f + z * -0.00019515282474458218f));
  const float c =
      1.0f - 0.5f * z +
      z * z * (0.04166664555668831f + z * (-0.001388736767694354f + z * 2.4438451873720624e-05f));
  const bool odd = quarter & 1;
  const float first = odd ? s : c, second = odd ? c : s;
  *cosine = ((quarter + 1) & 2) ? -first : first;
  *sine = (quarter & 2) ? -second : second;
}

void uniform_elements(float* out, const PhiloxBlocks& blocks, float a, float width) {
  for (int w = 0; w < 4; ++w) {
    for (int i = 0; i < kPhiloxBlocks; ++i) {
      const float u = static_cast<float>(static_cast<int32_t>(blocks.word[w][i] >> 8)) * 0x1p-24f;
      out[4 * i + w] = a + width * u;
    }
  }
}

void normal_elements(float* out, const PhiloxBlocks& blocks, float mean, float deviation) {
  for (int pair = 0; pair < 4; pair += 2) {
    float first[kPhiloxBlocks], second[kPhiloxBlocks];
    for (int i = 0; i < kPhiloxBlocks; ++i) {
      float cosine, sine;
      turn(blocks.word[pair + 1][i], &cosine, &sine);
      const float r = radius(blocks.word[pair][i]);
      first[i] = mean + deviation * (r * cosine);
      second[i] = mean + deviation * (r * sine);
    }
    for (int i = 0; i < kPhiloxBlocks; ++i) {
      out[4 * i + pair] = first[i];
      out[4 * i + pair + 1] = second[i];
    }
  }
}

}  // namespace

void random(const Context& context, int distribution, float* target, int64_t count, float a,
            float b, uint64_t seed, uint32_t operation, uint32_t step) {
  const int64_t rounds = (count + kElements - 1) / kElements;
  parallel_ranges(context, rounds, 16 * kElements, [&](int64_t begin, int64_t end) {
    PhiloxBlocks blocks;
    float elements[kElements];
    for (int64_t round = begin; round < end; ++round) {
      philox(blocks, seed, static_cast<uint64_t>(round * kPhiloxBlocks), operation, step);
      if (distribution == REMOE_UNIFORM) {
        uniform_elements(elements, blocks, a, b - a);
      } else {
        normal_elements(elements, blocks, a, b);
      }
      const int64_t first = round * kElements;
      std::copy_n(elements, std::min(kElements, count - first), target + first);
    }
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(random)

using namespace remoe;

int32_t remoe_random(uint64_t context, int32_t distribution, uint64_t target, uint64_t count,
                     double a, double b, uint64_t seed, uint32_t operation, uint32_t step) {
  return guard(context, "random", [&](Context& c) {
    require(distribution == REMOE_UNIFORM || distribution == REMOE_NORMAL, REMOE_INVALID_ARGUMENT,
            "distribution %d is unknown", distribution);
    REMOE_DISPATCH(c, random, distribution, require_address<float>(target, "target"),
                   require_count(count), static_cast<float>(a), static_cast<float>(b), seed,
                   operation, step);
  });
}
#endif  // REMOE_ENTRY_POINTS
