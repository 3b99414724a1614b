// Attention of new tokens against a cache in fp32, and the entry point for all types.
#include "per_isa/attention/attention_extend.h"

#include "per_isa/attention/attention_kernels.h"
#include "runtime/dtype.h"

namespace remoe::REMOE_TARGET {

void attention_extend(Context& context, const ExtendCall<float>& call) {
  extend_all(context, call);
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
using namespace remoe;

namespace {

// Checks that `starts` divide the tokens, and the rows and their room.
template <class T>
void require_places(const ExtendCall<T>& call, int32_t tokens, int32_t batch) {
  require(call.start(0) == 0 && call.start(call.sequences) == tokens, REMOE_OUT_OF_RANGE,
          "sequences have tokens %d to %d, but there are %d", call.start(0),
          call.start(call.sequences), tokens);
  std::vector<bool> is_taken(batch);
  for (int32_t i = 0; i < call.sequences; ++i) {
    const int32_t row = call.row(i);
    const int64_t added = int64_t{call.start(i + 1)} - call.start(i);
    require(added >= 1, REMOE_OUT_OF_RANGE,
            "sequence %d adds %lld tokens, but at least 1 is needed", i,
            static_cast<long long>(added));
    require(row >= 0 && row < batch, REMOE_OUT_OF_RANGE,
            "sequence %d has row %d, but the cache has %d", i, row, batch);
    require(!is_taken[row], REMOE_OUT_OF_RANGE, "sequence %d has row %d, as one before it", i, row);
    is_taken[row] = true;
    const int32_t length = call.lengths[row];
    require(length >= 0 && length + added <= call.capacity, REMOE_OUT_OF_RANGE,
            "sequence %d adds %lld tokens to %d, but the cache has room for %d", i,
            static_cast<long long>(added), length, call.capacity);
  }
}

}  // namespace

int32_t remoe_attention_extend(uint64_t context, int32_t dtype, uint64_t out, uint64_t qkv,
                               uint64_t cache, uint64_t lengths, uint64_t rows, uint64_t starts,
                               int32_t tokens, int32_t sequences, int32_t batch, int32_t capacity,
                               int32_t heads, int32_t groups, int32_t head_dim, int32_t stride,
                               double base) {
  return guard(context, "attention_extend", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(sequences, "sequences");
    require_size(capacity, "capacity");
    require_attention(batch, 1, heads, groups, head_dim, stride);
    require(head_dim % 2 == 0, REMOE_INVALID_ARGUMENT,
            "head_dim is %d, but must be even, since elements are rotated in pairs", head_dim);
    const int64_t used = (heads + 2 * int64_t{groups}) * head_dim;
    require(used <= stride, REMOE_INVALID_ARGUMENT,
            "stride is %d, but queries, keys and values need %lld elements per row", stride,
            static_cast<long long>(used));
    require(base > 0, REMOE_INVALID_ARGUMENT, "base is %g, but must be above 0", base);
    require(sequences <= tokens && sequences <= batch, REMOE_INVALID_ARGUMENT,
            "sequences is %d, but there are %d tokens and %d rows", sequences, tokens, batch);
    require(starts != 0 || sequences == tokens, REMOE_INVALID_ARGUMENT,
            "sequences is %d without starts, but there are %d tokens", sequences, tokens);
    require_float(dtype);
    const auto call = [&]<class T>() {
      const ExtendCall<T> checked{require_address<T>(out, "out"),
                                  require_address<T>(qkv, "qkv"),
                                  require_address<T>(cache, "cache"),
                                  require_address<const int32_t>(lengths, "lengths"),
                                  optional_address<const int32_t>(rows, "rows"),
                                  optional_address<const int32_t>(starts, "starts"),
                                  sequences,
                                  capacity,
                                  heads,
                                  groups,
                                  head_dim,
                                  stride,
                                  base};
      require_places(checked, tokens, batch);
      return checked;
    };
    if (dtype == REMOE_BF16) {
      REMOE_DISPATCH_BF16(open, attention_extend_bf16, call.operator()<Bf16>());
    } else {
      REMOE_DISPATCH(open, attention_extend, call.operator()<float>());
    }
  });
}
#endif  // REMOE_ENTRY_POINTS
