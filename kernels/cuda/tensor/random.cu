// Uniform and normal numbers from Philox.

#include <cmath>

#include "device/fast_math.h"
#include "device/philox.h"
#include "runtime/dtype.h"
#include "tensor/each_element.h"

namespace remoe {
namespace {

// log(1 + y) for y in [sqrt(1/2) - 1, sqrt(2) - 1]: y - y^2/2 + y^3 P(y), with P the minimax
// polynomial of degree 8 (total relative error 7.5e-10).
__device__ __forceinline__ float log1p_reduced(float y) {
  float p = fmaf(y, 0.06746643781661987f, -0.11675656586885452f);
  p = fmaf(p, y, 0.11888163536787033f);
  p = fmaf(p, y, -0.1240558847784996f);
  p = fmaf(p, y, 0.14219552278518677f);
  p = fmaf(p, y, -0.1666799634695053f);
  p = fmaf(p, y, 0.2000211924314499f);
  p = fmaf(p, y, -0.25000008940696716f);
  p = fmaf(p, y, 0.3333331346511841f);
  const float z = y * y;
  return y + (p * y * z - 0.5f * z);
}

// sqrt(-2 ln u1), u1 = (word + 1) * 2^-32 = 2^e m. Near u1 = 1 the logarithm is small, and rounding
// u1 to fp32 would lose it. There 1 - u1 = (2^32 - 1 - word) * 2^-32 is exact, so the upper part of
// the range uses log1p(-(1 - u1)). Both parts share the polynomial: a library's logarithms would be
// computed one after the other in a warp that has numbers of both.
__device__ __forceinline__ float radius(uint32_t word) {
  const uint32_t bits = __float_as_uint((static_cast<float>(word) + 1.0f) * 0x1p-32f);
  const int32_t exponent = (static_cast<int32_t>(bits) - 0x3f3504f3) >> 23;
  const float mantissa = __uint_as_float(bits - (static_cast<uint32_t>(exponent) << 23));
  const bool near_one = word > 0xb504f333u;  // u1 > sqrt(1/2)
  const float y = near_one ? static_cast<float>(~word) * -0x1p-32f : mantissa - 1.0f;
  const float e = near_one ? 0.0f : static_cast<float>(exponent);
  const float log = fmaf(e, 0.693359375f, fmaf(e, -2.12194440e-4f, log1p_reduced(y)));
  return root_fast(-2.0f * log);
}

// cos and sin of 2 pi word * 2^-32. The nearest quarter turn is subtracted from the integer,
// exactly. The remainder is within pi/4, where the minimax polynomials below have relative errors
// under 4e-9.
__device__ __forceinline__ void turn(uint32_t word, float& cosine, float& sine) {
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
  const bool odd = (quarter & 1) != 0;
  const float first = odd ? s : c;
  const float second = odd ? c : s;
  cosine = ((quarter + 1) & 2) != 0 ? -first : first;
  sine = (quarter & 2) != 0 ? -second : second;
}

// One multiply-add, so that the CPU's and the device's compilers round alike.
__device__ __forceinline__ float uniform(uint32_t word, float a, float width) {
  return fmaf(width, static_cast<float>(word >> 8) * 0x1p-24f, a);
}

template <int kDistribution>
struct RandomBody {
  float* target;
  float a;
  float b;
  uint64_t seed;
  uint32_t operation;
  uint32_t step;

  __device__ __forceinline__ void draw(uint64_t block, float (&out)[4]) const {
    const PhiloxBlock words = philox(seed, block, operation, step);
    if constexpr (kDistribution == REMOE_UNIFORM) {
#pragma unroll
      for (int w = 0; w < 4; w++) out[w] = uniform(words.word[w], a, b - a);
    } else {
#pragma unroll
      for (int pair = 0; pair < 4; pair += 2) {
        float cosine;
        float sine;
        turn(words.word[pair + 1], cosine, sine);
        const float r = radius(words.word[pair]);
        out[pair] = a + b * (r * cosine);
        out[pair + 1] = a + b * (r * sine);
      }
    }
  }

  template <int kCount>
  __device__ __forceinline__ void at(uint64_t i) const {
    float drawn[4];
    draw(i / 4, drawn);
    if constexpr (kCount == 4) {
      store_floats(target + i, drawn);
    } else {
      const int w = static_cast<int>(i % 4);
      target[i] = w == 0 ? drawn[0] : w == 1 ? drawn[1] : w == 2 ? drawn[2] : drawn[3];
    }
  }
};

}  // namespace
}  // namespace remoe

int32_t remoe_random(uint64_t context, int32_t distribution, uint64_t target, uint64_t count,
                     double a, double b, uint64_t seed, uint32_t operation, uint32_t step) {
  using namespace remoe;
  return guard(context, "random", [&](Operation& op) {
    require(distribution == REMOE_UNIFORM || distribution == REMOE_NORMAL,
            "distribution %d is unknown", distribution);
    auto* to = require_address<float>(target, "target");
    require_count(count);
    const auto fill = [&](auto body) {
      body = {to, static_cast<float>(a), static_cast<float>(b), seed, operation, step};
      launch_each<4>(op, body, count, starts_runs<4>(to));
    };
    if (distribution == REMOE_UNIFORM) {
      fill(RandomBody<REMOE_UNIFORM>{});
    } else {
      fill(RandomBody<REMOE_NORMAL>{});
    }
  });
}
