// Products in bf16 of so few rows that reading B bounds them, as in generation.
//
// The blocked product copies B into panels before it multiplies: a write and a read more per
// element, which many rows share and a few pay for. Here B is read once, in place and in long runs,
// and two of its rows become a row of lanes in registers. The sums of a chunk of columns stay in L1
// and are added to in the order of the blocked product: results have the same bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "per_isa/gemm/blocked_product.h"

namespace remoe::REMOE_TARGET {

// The most rows that take this path.
inline constexpr int kFewProductRows = 4;

// Columns at a time: runs of 2 KiB of each row of B, and sums that leave room in L1.
inline constexpr int kFewProductColumns = 1024;

// Rows of lanes per pass over the sums: eight rows of B. The next eight are prefetched meanwhile, a
// line of each at a time: the hardware would start anew with each run.
inline constexpr int kLaneRowsTogether = 4;

// Rows of B that are read next.
struct RowsAhead {
  const Bf16* first;
  int64_t stride;
  int rows;  // 0: none

  REMOE_INLINE void prefetch(int64_t column) const {
    for (int i = 0; i < rows; ++i) __builtin_prefetch(first + i * stride + column);
  }
};

// sum[r * kFewProductColumns + i] += sum over the `count` rows of lanes of a[r * k + p] * b[p][i],
// i < columns, r < R.
template <int R, int count, class Rows>
REMOE_INLINE void add_lane_rows(float* sum, int columns, const uint32_t* a, int64_t k,
                                const Rows& b, RowsAhead ahead = {}) {
  constexpr int kLine = 64 / sizeof(Bf16);
  Pairs x[R][count];
  for (int r = 0; r < R; ++r) {
    for (int p = 0; p < count; ++p) x[r][p] = broadcast(a[r * k + p]);
  }
  const auto add = [&](float* at, const Pairs(&y)[count]) {
    for (int r = 0; r < R; ++r, at += kFewProductColumns) {
      Vec acc = load(at);
#pragma GCC unroll 4
      for (int p = 0; p < count; ++p) acc = dot_pairs(acc, x[r][p], y[p]);
      store(at, acc);
    }
  };
  Pairs y[count];
  int i = 0;
  for (; i + kLanes <= columns; i += kLanes) {
    if (i % kLine == 0) ahead.prefetch(i);
#pragma GCC unroll 4
    for (int p = 0; p < count; ++p) y[p] = b(p).load(i);
    add(sum + i, y);
  }
  if (i < columns) {
#pragma GCC unroll 4
    for (int p = 0; p < count; ++p) y[p] = b(p).load_partial(i, columns - i);
    add(sum + i, y);
  }
}

// C = alpha * A * B + beta * C: see gemm_blocked(). B must not be transposed.
template <int R, class C>
class FewRowsProduct {
 public:
  FewRowsProduct(uint32_t* packing, int n, int k, const Bf16Operand& a, const Bf16Operand& b)
      : a_(a), b_(b), n_(n), k_(k), lanes_(packing) {}

  void run(float alpha, float beta, C* c, int64_t ldc) {
    const int depth = block_depth<Bf16>(k_);
    for (int p = 0; p < k_; p += depth) {
      const int length = std::min(depth, k_ - p);
      const int64_t k = lanes_of<Bf16>(length);
      for (int r = 0; r < R; ++r) {
        for (int64_t q = 0; q < k; ++q) lanes_[r * k + q] = lane_of_a(r, p, p + length, q);
      }
      for (int j = 0; j < n_; j += kFewProductColumns) {
        const int columns = std::min(kFewProductColumns, n_ - j);
        alignas(64) float sums[R * kFewProductColumns] = {};
        add_rows(sums, p, length, j, columns);
        write(sums, {alpha, p == 0 ? beta : 1.0f}, columns, c + j, ldc);
      }
    }
  }

 private:
  // Two elements of a row of op(A), from k p + 2 q on; 0 in place of one beyond `end`.
  uint32_t lane_of_a(int r, int p, int end, int64_t q) const {
    const auto at = [&](int64_t k) -> uint32_t {
      if (k >= end) return 0;
      return (a_.transposed ? stored_row(a_, k)[r] : stored_row(a_, r)[k]).bits;
    };
    return at(p + 2 * q) | at(p + 2 * q + 1) << 16;
  }

  void add_rows(float* sums, int p, int length, int j, int columns) const {
    const int64_t k = lanes_of<Bf16>(length);
    const auto row = [&](int64_t i) { return stored_row(b_, p + i) + j; };
    const int64_t whole = length / 2;
    int64_t q = 0;
    for (; q + kLaneRowsTogether <= whole; q += kLaneRowsTogether) {
      constexpr int kRows = 2 * kLaneRowsTogether;
      const int64_t next = 2 * q + kRows;
      const bool whole_next = b_.rows == nullptr && next + kRows <= length;
      add_lane_rows<R, kLaneRowsTogether>(
          sums, columns, lanes_ + q, k, [&](int i) { return LaneRow<Bf16>(row, q + i); },
          {whole_next ? row(next) : nullptr, b_.stride, whole_next ? kRows : 0});
    }
    for (; q < whole; ++q) {
      add_lane_rows<R, 1>(sums, columns, lanes_ + q, k, [&](int) { return LaneRow<Bf16>(row, q); });
    }
    if (q < k) {
      add_lane_rows<R, 1>(sums, columns, lanes_ + q, k,
                          [&](int) { return LaneRow<Bf16, true>(row, q); });
    }
  }

  static void write(const float* sums, Epilogue epilogue, int columns, C* c, int64_t ldc) {
    for (int r = 0; r < R; ++r, sums += kFewProductColumns, c += ldc) {
      each_vector(columns, [&](auto access, int64_t i) {
        const auto product = access.splat(epilogue.alpha) * access.load(sums + i);
        access.store(c + i, epilogue.beta == 0
                                ? product
                                : product + access.splat(epilogue.beta) * access.load(c + i));
      });
    }
  }

  const Bf16Operand &a_, &b_;
  int n_, k_;
  uint32_t* lanes_;  // of op(A), a row after the other
};

template <class C>
using FewRowsFunction = void (*)(uint32_t*, int, int, float, const Bf16Operand&, const Bf16Operand&,
                                 float, C*, int64_t);

template <int R, class C>
void multiply_few_rows(uint32_t* packing, int n, int k, float alpha, const Bf16Operand& a,
                       const Bf16Operand& b, float beta, C* c, int64_t ldc) {
  FewRowsProduct<R, C>(packing, n, k, a, b).run(alpha, beta, c, ldc);
}

namespace detail {
template <class C, int... I>
constexpr std::array<FewRowsFunction<C>, kFewProductRows> few_rows_functions(
    std::integer_sequence<int, I...>) {
  return {&multiply_few_rows<I + 1, C>...};
}
template <class C>
inline constexpr auto kFewRowsFunctions =
    few_rows_functions<C>(std::make_integer_sequence<int, kFewProductRows>{});
}  // namespace detail

// Takes a product of at most kFewProductRows rows with a B as stored. Returns whether it has.
template <class C>
bool few_rows_product(uint32_t* packing, int m, int n, int k, float alpha, const Bf16Operand& a,
                      const Bf16Operand& b, float beta, C* c, int64_t ldc) {
  if (b.transposed || m > kFewProductRows) return false;
  detail::kFewRowsFunctions<C>[m - 1](packing, n, k, alpha, a, b, beta, c, ldc);
  return true;
}

}  // namespace remoe::REMOE_TARGET
