// Sets all elements to one value.

#include <cmath>
#include <cstring>

#include "runtime/dtype.h"
#include "tensor/each_element.h"

namespace remoe {
namespace {

// Words of an element's size stand for every dtype.
template <class Word>
struct FillBody {
  Word* target;
  Word word;

  template <int kCount>
  __device__ __forceinline__ void at(uint64_t i) const {
    Vector<Word, kCount> vector;
#pragma unroll
    for (int k = 0; k < kCount; k++) vector.element[k] = word;
    store_vector(target + i, vector);
  }
};

template <class Word, class Value>
void fill(Operation& op, void* target, Value value, uint64_t count) {
  static_assert(sizeof(Word) == sizeof(Value), "a word holds the bits of one element");
  FillBody<Word> body = {static_cast<Word*>(target), Word{}};
  std::memcpy(&body.word, &value, sizeof body.word);
  constexpr int kCount = kWidth<Word>;
  launch_each<kCount>(op, body, count, starts_runs<kCount>(body.target));
}

// The upper half of the fp32 pattern, rounded to nearest even; NaN stays NaN. Rounding to odd on
// the way (towards 0, with the last bit set if anything was lost) makes the two roundings one.
uint16_t bf16_bits(double value) {
  if (std::isnan(value)) return 0x7fc0;
  const float nearest = static_cast<float>(value);
  uint32_t bits;
  std::memcpy(&bits, &nearest, sizeof bits);
  if (nearest != value && std::isfinite(value)) {
    if (std::fabs(nearest) > std::fabs(value)) bits--;
    bits |= 1;
  }
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace
}  // namespace remoe

int32_t remoe_fill(uint64_t context, int32_t dtype, uint64_t target, double value, uint64_t count) {
  using namespace remoe;
  return guard(context, "fill", [&](Operation& op) {
    void* to = require_elements(target, dtype, "target");
    require_count(count);
    switch (dtype) {
      case REMOE_F32:
        return fill<uint32_t>(op, to, static_cast<float>(value), count);
      case REMOE_BF16:
        return fill<uint16_t>(op, to, bf16_bits(value), count);
      case REMOE_I32:
        require(value >= INT32_MIN && value <= INT32_MAX, "%g does not fit int32", value);
        return fill<uint32_t>(op, to, static_cast<int32_t>(value), count);
      default:
        return fill<uint64_t>(op, to, value, count);
    }
  });
}
