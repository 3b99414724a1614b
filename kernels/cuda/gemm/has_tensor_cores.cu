#include <cmath>
#include <cstring>
#include <vector>

#include "device/bf16.h"
#include "gemm/has_tensor_cores.h"
#include "gemm/product_tensor_cores.h"

namespace remoe {
namespace {

// Several tiles and steps of the depth, and a part of each at the end.
constexpr int kRows = 136;
constexpr int kColumns = 264;
constexpr int kDepth = 200;
constexpr int kLargest = kColumns;

// Small integers, whose products and sums both paths compute exactly.
std::vector<Bf16> draw(int count, uint32_t seed) {
  std::vector<Bf16> values(static_cast<size_t>(count));
  for (Bf16& value : values) {
    seed = seed * 1664525 + 1013904223;
    const float number = static_cast<float>(static_cast<int>(seed >> 29) - 3);
    uint32_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    value.bits = static_cast<uint16_t>(bits >> 16);
  }
  return values;
}

std::vector<float> read(Operation& op, const Scratch<float>& c) {
  std::vector<float> values(kRows * kColumns);
  op.check(cudaMemcpyAsync(values.data(), c.data(), values.size() * sizeof(float),
                           cudaMemcpyDeviceToHost, op.context.stream));
  op.context.drain(op.context.stream);
  return values;
}

void write(Operation& op, const Scratch<Bf16>& to, uint32_t seed) {
  const auto values = draw(kLargest * kLargest, seed);
  op.check(cudaMemcpyAsync(to.data(), values.data(), values.size() * sizeof(Bf16),
                           cudaMemcpyHostToDevice, op.context.stream));
}

bool agree(Operation& op, bool transpose_a, bool transpose_b) {
  const Scratch<Bf16> a(op, kLargest * kLargest);
  const Scratch<Bf16> b(op, kLargest * kLargest);
  const Scratch<float> c(op, kRows * kColumns);
  write(op, a, 1);
  write(op, b, 2);
  const Product product = {
      .m = kRows,
      .n = kColumns,
      .k = kDepth,
      .dtype_a = REMOE_BF16,
      .a = a.data(),
      .lda = transpose_a ? kRows : kDepth,
      .transpose_a = transpose_a,
      .dtype_b = REMOE_BF16,
      .b = b.data(),
      .ldb = transpose_b ? kDepth : kColumns,
      .transpose_b = transpose_b,
      .dtype_c = REMOE_F32,
      .c = c.data(),
      .ldc = kColumns,
  };
  multiply_simt(op, product);
  const auto expected = read(op, c);
  multiply_tensor_cores(op, product);
  return read(op, c) == expected;
}

}  // namespace

bool has_tensor_cores(Operation& op) {
  GemmPath& path = op.context.gemm_path;
  if (path == GemmPath::kUncheckedWgmma) {
    const bool right = agree(op, false, false) && agree(op, false, true) && agree(op, true, false);
    path = right ? GemmPath::kWgmma : GemmPath::kWrongWgmma;
  }
  return path == GemmPath::kWgmma;
}

}  // namespace remoe
