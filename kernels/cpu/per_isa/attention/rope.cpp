// Rotary position embedding: rotates each pair (x_i, x_{i+half}) of a head by position *
// base^(-i/half).
#include "per_isa/attention/attention_arguments.h"
#include "per_isa/attention/rotation.h"
#include "per_isa/kernel.h"
#include "runtime/dtype.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

template <class T>
void turn_rows(Context& context, T* x, int64_t rows, int64_t stride, int sequence, int heads,
               int head_dim, const float* cosine, const float* sine) {
  const int half = head_dim / 2;
  parallel_ranges(context, rows, int64_t{heads} * head_dim, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t angle = r % sequence * half;
      for (int head = 0; head < heads; ++head) {
        turn_head(x + r * stride + int64_t{head} * head_dim, cosine + angle, sine + angle, half);
      }
    }
  });
}

}  // namespace

void rope(Context& context, int32_t dtype, void* x, int rows, int stride, int sequence, int heads,
          int head_dim, double base, int offset, bool inverse) {
  const int half = head_dim / 2;
  const int64_t positions = std::min(rows, sequence);
  Scratch<float> angles(context, 2 * positions * half);
  float* cosine = angles.data();
  float* sine = cosine + positions * half;
  Scratch<double> frequencies(context, half);
  fill_frequencies(frequencies.data(), half, base);
  const int64_t blocks = (positions + kTurns - 1) / kTurns;
  parallel_tasks(context, blocks, [&](int64_t block, int) {
    const int64_t first = block * kTurns;
    fill_angles(cosine + first * half, sine + first * half,
                std::min<int64_t>(kTurns, positions - first), half, frequencies.data(),
                offset + first, inverse);
  });
  with_element(dtype, [&]<class T>() {
    turn_rows(context, static_cast<T*>(x), rows, stride, sequence, heads, head_dim, cosine, sine);
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(rope)

using namespace remoe;

int32_t remoe_rope(uint64_t context, int32_t dtype, uint64_t x, int32_t rows, int32_t stride,
                   int32_t sequence, int32_t heads, int32_t head_dim, double base, int32_t offset,
                   int32_t inverse) {
  return guard(context, "rope", [&](Context& open) {
    require_size(rows, "rows");
    require_size(sequence, "sequence");
    require_heads(heads, head_dim, stride);
    require(head_dim % 2 == 0, REMOE_INVALID_ARGUMENT,
            "head_dim is %d, but must be even, since elements are rotated in pairs", head_dim);
    require(base > 0, REMOE_INVALID_ARGUMENT, "base is %g, but must be above 0", base);
    require(offset >= 0, REMOE_INVALID_ARGUMENT, "offset is %d, but positions start at 0", offset);
    require_float(dtype);
    REMOE_DISPATCH(open, rope, dtype, require_elements(x, dtype, "x"), rows, stride, sequence,
                   heads, head_dim, base, offset, inverse != 0);
  });
}
#endif  // REMOE_ENTRY_POINTS
