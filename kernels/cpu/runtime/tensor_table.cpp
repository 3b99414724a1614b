#include "runtime/tensor_table.h"

#include <algorithm>

namespace remoe {

TensorBlocks read_tensor_table(uint64_t table, int32_t count, bool moments) {
  require_size(count, "count");
  TensorBlocks blocks{require_address<const TensorRow>(table, "table"), {0}};
  blocks.first_block.reserve(static_cast<std::size_t>(count) + 1);
  for (int32_t i = 0; i < count; ++i) {
    const TensorRow& row = blocks.rows[i];
    const bool complete = row.gradient != 0 &&
                          (!moments || (row.master != 0 && row.moment_1 != 0 && row.moment_2 != 0));
    require(complete, REMOE_INVALID_ARGUMENT, "tensor %d of the table lacks an address", i);
    const int dtype = row.gradient_dtype();
    require(dtype == REMOE_F32 || dtype == REMOE_BF16, REMOE_UNSUPPORTED,
            "tensor %d of the table has a gradient of dtype %d, which is neither fp32 nor bf16", i,
            dtype);
    require(row.elements <= uint64_t{1} << 46, REMOE_INVALID_ARGUMENT,
            "tensor %d of the table has %llu elements, more than any memory holds", i,
            static_cast<unsigned long long>(row.elements));
    const int64_t parts = (static_cast<int64_t>(row.elements) + kTensorBlock - 1) / kTensorBlock;
    blocks.first_block.push_back(blocks.first_block.back() + parts);
  }
  return blocks;
}

TensorSpan span_of(const TensorBlocks& blocks, int64_t block) {
  const auto& first = blocks.first_block;
  const int64_t i = std::upper_bound(first.begin(), first.end(), block) - first.begin() - 1;
  const TensorRow* row = blocks.rows + i;
  const int64_t begin = (block - first[i]) * kTensorBlock;
  return {row, begin, std::min(begin + kTensorBlock, static_cast<int64_t>(row->elements))};
}

}  // namespace remoe
