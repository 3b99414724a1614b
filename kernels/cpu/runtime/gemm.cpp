// Chooses the GEMM for each product. If oneDNN is built in, whole matrices as stored go to its
// dnnl_sgemm. Products with a packed or gathered operand, which it does not support, go to the
// blocked GEMM, and so does everything if oneDNN is missing or the instruction set is capped.
//
// Measured on one core of a Sapphire Rapids, in % of its peak multiply-adds: 256 x 1024 x 128 (an
// expert's first product): sgemm 96, blocked 85, blocked with packed B 92; 256 x 128 x 512 (its
// second): 98, 91, 94; 512 x 128 x 256 with A transposed: 98, 95, 97; 128 x 1024 x 512 with A
// transposed (a weight gradient): 84, 80, 94. oneDNN's own packed form (matmul with a blocked
// weight) reaches 97 to 100, but compiles code for each new number of rows, and experts have a new
// one every step.
#include "runtime/gemm.h"

#if defined(REMOE_WITH_ONEDNN)
#include <dnnl.h>
#endif

#include <algorithm>

#include "per_isa/gemm/blocked_gemm.h"
#include "runtime/fp32_view.h"
#include "runtime/parallel.h"

namespace remoe {
namespace {

template <class T>
Lane<T>* packing_of(Context& context, int thread) {
  return reinterpret_cast<Lane<T>*>(context.packing[thread].get());
}

template <class T, class C>
void one_thread(Context& context, int thread, int m, int n, int k, float alpha,
                const OperandOf<T>& a, const OperandOf<T>& b, const Lane<T>* packed_b, float beta,
                C* c, int64_t ldc) {
  Lane<T>* packing = packing_of<T>(context, thread);
  if constexpr (std::is_same_v<T, Bf16>) {
    REMOE_DISPATCH_BF16(context, gemm_blocked, packing, m, n, k, alpha, a, b, packed_b, beta, c,
                        ldc);
  } else {
    REMOE_DISPATCH(context, gemm_blocked, packing, m, n, k, alpha, a, b, packed_b, beta, c, ldc);
  }
}

#if defined(REMOE_WITH_ONEDNN)
// Whether oneDNN is slower: with AVX2, for the gradients of narrow weights. 128 x 256 and 128 x 128
// with k = 4096 and A transposed reach 64 and 67 % of one core's peak multiply-adds (Zen 3),
// blocked 74 and 78.
bool better_blocked(const Context& context, int m, int n, const Operand& a) {
  return context.isa == Isa::kAvx2 && a.transposed && m <= 256 && n >= 64;
}

// Runs on oneDNN, with the threads that the calling thread requests from OpenMP (one inside a
// parallel region). With fewer threads than requested, it would leave part of C unwritten. Returns
// false, with nothing done, if oneDNN cannot do it.
bool by_onednn(const Context& context, int m, int n, int k, float alpha, const Operand& a,
               const Operand& b, float beta, float* c, int64_t ldc) {
  if (!context.dense_by_onednn || a.rows != nullptr || b.rows != nullptr) return false;
  if (better_blocked(context, m, n, a)) return false;
  return dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, alpha, a.data,
                    a.stride, b.data, b.stride, beta, c, ldc) == dnnl_success;
}

std::string onednn_name() {
  const dnnl_version_t* version = dnnl_version();
  return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}
#else
bool by_onednn(const Context&, int, int, int, float, const Operand&, const Operand&, float, float*,
               int64_t) {
  return false;
}

std::string onednn_name() { return ""; }
#endif

// A grid of threads over C. Each part packs its rows of A and its columns of B, so the grid with
// the smallest m/rows + n/columns copies least.
struct Grid {
  int rows;
  int columns;
};

Grid grid_for(const Context& context, int m, int n, int k) {
  // A thread is worth waking for about 2 us of work: 10^5 multiply-adds.
  const double work = static_cast<double>(m) * n * k;
  const int parts = static_cast<int>(std::clamp(work / 1e5, 1.0, double(context.threads)));
  Grid best{1, parts};
  double least = 1e300;
  for (int rows = 1; rows <= parts; ++rows) {
    if (parts % rows != 0) continue;
    const int columns = parts / rows;
    if ((rows > 1 && rows * 8 > m) || (columns > 1 && columns * 32 > n)) continue;
    const double copied = static_cast<double>(m) / rows + static_cast<double>(n) / columns;
    if (copied < least) {
      least = copied;
      best = {rows, columns};
    }
  }
  return least < 1e300 ? best : Grid{1, 1};
}

// The operand restricted to rows [i, ...) of op(A), or columns [j, ...) of op(B).
template <class T>
OperandOf<T> from_row(const OperandOf<T>& a, int64_t i) {
  OperandOf<T> part = a;
  part.data += a.transposed ? i : i * a.stride;
  return part;
}
template <class T>
OperandOf<T> from_column(const OperandOf<T>& b, int64_t j) {
  OperandOf<T> part = b;
  part.data += b.transposed ? j * b.stride : j;
  return part;
}

template <class T, class C>
void on_all_threads(Context& context, int m, int n, int k, float alpha, const OperandOf<T>& a,
                    const OperandOf<T>& b, float beta, C* c, int64_t ldc) {
  const Grid grid = grid_for(context, m, n, k);
  parallel_parts(context, grid.rows * grid.columns, [&](int part) {
    const Range rows = part_of(m, grid.rows, part / grid.columns);
    const Range columns = part_of(n, grid.columns, part % grid.columns, packed_columns(context));
    if (rows.begin == rows.end || columns.begin == columns.end) return;
    one_thread<T>(context, part, static_cast<int>(rows.end - rows.begin),
                  static_cast<int>(columns.end - columns.begin), k, alpha, from_row(a, rows.begin),
                  from_column(b, columns.begin), nullptr, beta,
                  c + rows.begin * ldc + columns.begin, ldc);
  });
}

}  // namespace

bool has_onednn() { return !onednn_name().empty(); }

std::string gemm_library(bool onednn) { return onednn ? onednn_name() : "blocked"; }

void gemm(Context& context, int m, int n, int k, float alpha, const Operand& a, const Operand& b,
          float beta, float* c, int64_t ldc) {
  if (has_team(context.threads) && by_onednn(context, m, n, k, alpha, a, b, beta, c, ldc)) return;
  on_all_threads(context, m, n, k, alpha, a, b, beta, c, ldc);
}

void gemm(Context& context, int m, int n, int k, float alpha, const Bf16Operand& a,
          const Bf16Operand& b, float beta, float* c, int64_t ldc) {
  on_all_threads(context, m, n, k, alpha, a, b, beta, c, ldc);
}

void gemm(Context& context, int m, int n, int k, float alpha, const Bf16Operand& a,
          const Bf16Operand& b, float beta, Bf16* c, int64_t ldc) {
  on_all_threads(context, m, n, k, alpha, a, b, beta, c, ldc);
}

int deepest_rounded(const Context& context) {
  return REMOE_DISPATCH_BF16(context, gemm_bf16_depth);
}

void gemm_one_thread(Context& context, int m, int n, int k, float alpha, const Operand& a,
                     const Operand& b, float beta, float* c, int64_t ldc) {
  const bool alone = !omp_in_parallel();  // if so, oneDNN must be told to stay on this thread
  if (alone) omp_set_num_threads(1);
  const bool done = by_onednn(context, m, n, k, alpha, a, b, beta, c, ldc);
  if (alone) omp_set_num_threads(context.threads);
  if (done) return;
  one_thread<float>(context, omp_get_thread_num(), m, n, k, alpha, a, b, nullptr, beta, c, ldc);
}

void gemm_one_thread(Context& context, int m, int n, int k, float alpha, const Bf16Operand& a,
                     const Bf16Operand& b, float beta, float* c, int64_t ldc) {
  one_thread<Bf16>(context, omp_get_thread_num(), m, n, k, alpha, a, b, nullptr, beta, c, ldc);
}

int packed_columns(const Context& context) { return REMOE_DISPATCH(context, gemm_panel_columns); }

template <class T>
std::size_t packed_size(const Context& context, int k, int n) {
  const std::size_t panel = packed_columns(context);
  return lanes_of<T>(k) * ((n + panel - 1) / panel * panel);
}
template std::size_t packed_size<float>(const Context&, int, int);
template std::size_t packed_size<Bf16>(const Context&, int, int);

void pack(const Context& context, int k, int n, const Operand& b, float* packed, int begin,
          int end) {
  REMOE_DISPATCH(context, gemm_pack, k, n, b, packed, begin, end < 0 ? n : end);
}

void pack(const Context& context, int k, int n, const Bf16Operand& b, uint32_t* packed, int begin,
          int end) {
  REMOE_DISPATCH_BF16(context, gemm_pack, k, n, b, packed, begin, end < 0 ? n : end);
}

void gemm_packed(Context& context, int m, int n, int k, float alpha, const Operand& a,
                 const float* packed_b, float beta, float* c, int64_t ldc) {
  one_thread<float>(context, omp_get_thread_num(), m, n, k, alpha, a, {}, packed_b, beta, c, ldc);
}

void gemm_packed(Context& context, int m, int n, int k, float alpha, const Bf16Operand& a,
                 const uint32_t* packed_b, float beta, float* c, int64_t ldc) {
  one_thread<Bf16>(context, omp_get_thread_num(), m, n, k, alpha, a, {}, packed_b, beta, c, ldc);
}

}  // namespace remoe

using namespace remoe;

namespace {

void require_stride(int32_t stride, int32_t columns, const char* name, const char* matrix) {
  require(stride >= columns, REMOE_INVALID_ARGUMENT, "%s is %d, but rows of %s have %d elements",
          name, stride, matrix, columns);
}

template <class T>
T* elements(uint64_t address, int32_t dtype, const char* name) {
  return static_cast<T*>(require_elements(address, dtype, name));
}

}  // namespace

int32_t remoe_gemm(uint64_t context, int32_t dtype_a, int32_t dtype_b, int32_t dtype_c,
                   int32_t transpose_a, int32_t transpose_b, int32_t m, int32_t n, int32_t k,
                   float alpha, uint64_t a, int32_t lda, uint64_t b, int32_t ldb, float beta,
                   uint64_t c, int32_t ldc) {
  return guard(context, "gemm", [&](Context& open) {
    require_float(dtype_a);
    require_float(dtype_b);
    require_float(dtype_c);
    require_size(m, "m");
    require_size(n, "n");
    require_size(k, "k");
    const bool ta = transpose_a != 0, tb = transpose_b != 0;
    const int32_t a_rows = ta ? k : m, a_columns = ta ? m : k;
    const int32_t b_rows = tb ? n : k, b_columns = tb ? k : n;
    require_stride(lda, a_columns, "lda", "A");
    require_stride(ldb, b_columns, "ldb", "B");
    require_stride(ldc, n, "ldc", "C");
    if (dtype_a == REMOE_BF16 && dtype_b == REMOE_BF16) {
      const Bf16Operand left{elements<const Bf16>(a, dtype_a, "A"), lda, ta};
      const Bf16Operand right{elements<const Bf16>(b, dtype_b, "B"), ldb, tb};
      if (dtype_c == REMOE_BF16 && k <= deepest_rounded(open)) {
        return gemm(open, m, n, k, alpha, left, right, beta, elements<Bf16>(c, dtype_c, "C"), ldc);
      }
      Fp32Target result(open, dtype_c, c, {m, n, ldc}, beta != 0, "C");
      gemm(open, m, n, k, alpha, left, right, beta, result.data(), ldc);
      return result.commit();
    }
    const Fp32Operand left(open, dtype_a, a, Columns{a_rows, a_columns, lda}.extent(), "A");
    const Fp32Operand right(open, dtype_b, b, Columns{b_rows, b_columns, ldb}.extent(), "B");
    Fp32Target result(open, dtype_c, c, {m, n, ldc}, beta != 0, "C");
    gemm(open, m, n, k, alpha, Operand{left.data(), lda, ta}, Operand{right.data(), ldb, tb}, beta,
         result.data(), ldc);
    result.commit();
  });
}
