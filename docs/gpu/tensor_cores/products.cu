// The products' entry points, and the small kernels around them.
#include <algorithm>

#include "epilogues.h"
#include "launch.h"

namespace remoe {
namespace {

// ---- kernels bound by memory

struct RowGateArguments {
  float* row_gate;     // [rows]
  int32_t* row_pair;   // [rows]: token * experts + expert
  const float* gates;  // [tokens, experts]
  const int32_t* expert_offset;
  const int32_t* row_token;
  int experts;
};

// Each row's gate and place in [tokens, experts].
__global__ void __launch_bounds__(kSmall) row_gates(RowGateArguments a) {
  const int rows = a.expert_offset[a.experts];
  for (int row = global_thread(); row < rows; row += static_cast<int>(gridDim.x) * kSmall) {
    int low = 0;  // expert_offset[low] <= row < expert_offset[high]
    int high = a.experts;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (a.expert_offset[middle] <= row) {
        low = middle;
      } else {
        high = middle;
      }
    }
    const int pair = a.row_token[row] * a.experts + low;
    a.row_pair[row] = pair;
    a.row_gate[row] = a.gates[pair];
  }
}

struct GateGradientArguments {
  float* dgates;  // [tokens, experts], the active pairs alone
  const float* partial;
  const int32_t* row_pair;
  const int32_t* expert_offset;
  int experts;
  int tiles;
};

// Sums each row's partial products in their order.
__global__ void __launch_bounds__(kSmall) gate_gradient(GateGradientArguments a) {
  const int rows = a.expert_offset[a.experts];
  for (int row = global_thread(); row < rows; row += static_cast<int>(gridDim.x) * kSmall) {
    float sum = 0.0f;
    for (int i = 0; i < a.tiles; i++) sum += a.partial[static_cast<size_t>(row) * a.tiles + i];
    a.dgates[a.row_pair[row]] = sum;
  }
}

struct CombineArguments {
  bf16* out;              // [tokens, columns]
  const bf16* rows;       // [rows, columns]
  const float* row_gate;  // null: 1
  const int32_t* token_offset;
  const int32_t* token_row;
  int tokens;
  int columns;
};

__device__ __forceinline__ void add_8(float (&sum)[8], uint4 v, float gate) {
  const uint32_t word[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    sum[2 * i] += gate * low_half(word[i]);
    sum[2 * i + 1] += gate * high_half(word[i]);
  }
}

// A token's rows, weighted by their gates and added in the experts' order: without atomics, so
// that equal inputs give equal bits. A thread has eight columns, and two rows under way at a time.
__global__ void __launch_bounds__(kSmall) combine(CombineArguments a) {
  const int chunks = a.columns / 8;
  const int total = a.tokens * chunks;
  for (int i = global_thread(); i < total; i += static_cast<int>(gridDim.x) * kSmall) {
    const int token = i / chunks;
    const int column = (i - token * chunks) * 8;
    const int end = a.token_offset[token + 1];
    float sum[8] = {};
    int slot = a.token_offset[token];
    for (; slot + 1 < end; slot += 2) {
      const int first = a.token_row[slot];
      const int second = a.token_row[slot + 1];
      const uint4 v = load_16(a.rows + static_cast<size_t>(first) * a.columns + column);
      const uint4 w = load_16(a.rows + static_cast<size_t>(second) * a.columns + column);
      add_8(sum, v, a.row_gate == nullptr ? 1.0f : a.row_gate[first]);
      add_8(sum, w, a.row_gate == nullptr ? 1.0f : a.row_gate[second]);
    }
    if (slot < end) {
      const int row = a.token_row[slot];
      add_8(sum, load_16(a.rows + static_cast<size_t>(row) * a.columns + column),
            a.row_gate == nullptr ? 1.0f : a.row_gate[row]);
    }
    const uint32_t packed[4] = {pack(sum[0], sum[1]), pack(sum[2], sum[3]), pack(sum[4], sum[5]),
                                pack(sum[6], sum[7])};
    store_16(a.out + static_cast<size_t>(token) * a.columns + column, packed);
  }
}

// ---- host

// As Python has it: addresses first, then sizes.
struct Call {
  uint64_t plan, out, out2, a, b, h, row_gate, row_pair, gates, dgates, partial, stream;
  int32_t tokens, capacity, hidden, width, experts, blocks, accumulate, skew;
};

struct PlanParts {
  const int32_t* header;
  const int32_t* expert_offset;
  const int32_t* token_offset;
  const int32_t* row_token;
  const int32_t* token_row;

  explicit PlanParts(const Call& c)
      : header(at<const int32_t>(c.plan)),
        expert_offset(header + 4),
        token_offset(expert_offset + c.experts + 1),
        row_token(token_offset + c.tokens + 1),
        token_row(row_token + c.capacity) {}
};

Arguments arguments(const Call& c) {
  const PlanParts plan(c);
  Arguments a = {};
  a.plan = plan.header;
  a.expert_offset = plan.expert_offset;
  a.row_token = plan.row_token;
  a.experts = c.experts;
  a.a = at<const bf16>(c.a);
  a.b = at<const bf16>(c.b);
  a.out = at<void>(c.out);
  a.out2 = at<void>(c.out2);
  a.row_gate = at<const float>(c.row_gate);
  a.partial = at<float>(c.partial);
  a.accumulate = c.accumulate;
  a.skew = std::min(std::max(c.skew, 0), kStages - 2);
  return a;
}

int multiply_weights(int product, const Call& c) {
  const bool up_weights = product == 1 || product == 4;
  const int in = up_weights ? c.hidden : c.width;
  const int out = up_weights ? 2 * c.width : c.hidden;
  const bool transposed = product == 3 || product == 4;
  Arguments a = arguments(c);
  a.depth = transposed ? out : in;
  a.columns = product == 1 ? c.width : (transposed ? in : out);
  a.a_stride = a.depth;
  Maps maps = {};
  int rc = encode_map(&maps.b, a.b, c.experts, in, out);
  if (rc == 0 && (product == 2 || product == 4)) {
    rc = encode_map(&maps.a, a.a, 1, c.capacity, a.depth);
  }
  if (rc == 0 && product == 3) {
    rc = encode_halves(&maps.h, at<void>(c.h), c.capacity, a.columns, kSide);
    if (rc == 0) rc = encode_halves(&maps.out, a.out, c.capacity, a.columns, kWarpRows);
  } else if (rc == 0 && a.out != nullptr) {
    rc = encode_map(&maps.out, a.out, 1, c.capacity, a.columns, 0, kWarpRows);
  }
  if (rc == 0 && product == 3) {
    rc = encode_map(&maps.out2, a.out2, 1, c.capacity, a.columns, 0, kWarpRows);
  } else if (rc == 0 && a.out2 != nullptr) {
    rc = encode_halves(&maps.out2, a.out2, c.capacity, a.columns, kWarpRows);
  }
  if (rc != 0) return rc;
  switch (product) {
    case 1:
      return launch_product<UpProduct>(c.blocks, c.stream, a, maps);
    case 2:
      return launch_product<DownProduct>(c.blocks, c.stream, a, maps);
    case 3:
      return launch_product<ActivationGradient>(c.blocks, c.stream, a, maps);
    case 4:
      return launch_product<InputGradient>(c.blocks, c.stream, a, maps);
  }
  return -1;
}

// dW1 = x^T dH with x gathered, dW2 = A^T dY with dY gathered.
int weight_gradient(int product, const Call& c) {
  Arguments a = arguments(c);
  a.rows = product == 5 ? c.hidden : c.width;
  a.columns = product == 5 ? 2 * c.width : c.hidden;
  Maps maps = {};
  int rc = product == 5 ? encode_map(&maps.b, a.b, 1, c.capacity, a.columns)
                        : encode_map(&maps.a, a.a, 1, c.capacity, a.rows);
  if (rc == 0) rc = encode_gradient(&maps.out, a.out, c.experts, a.rows, a.columns);
  if (rc != 0) return rc;
  if (product == 5) return launch_product<UpWeightGradient>(c.blocks, c.stream, a, maps);
  return launch_product<DownWeightGradient>(c.blocks, c.stream, a, maps);
}

int small_blocks(const Call& c, int64_t threads) {
  return static_cast<int>(
      std::min<int64_t>(std::max<int64_t>((threads + kSmall - 1) / kSmall, 1), c.blocks * 16));
}

int run_row_gates(const Call& c) {
  const PlanParts plan(c);
  const RowGateArguments a = {at<float>(c.row_gate),    at<int32_t>(c.row_pair),
                              at<const float>(c.gates), plan.expert_offset,
                              plan.row_token,           c.experts};
  return launch_small(row_gates, small_blocks(c, c.capacity), c.stream, a);
}

int run_gate_gradient(const Call& c) {
  const PlanParts plan(c);
  const GateGradientArguments a = {at<float>(c.dgates),
                                   at<const float>(c.partial),
                                   at<const int32_t>(c.row_pair),
                                   plan.expert_offset,
                                   c.experts,
                                   divide_up(c.width, kTileColumns)};
  return launch_small(gate_gradient, small_blocks(c, c.capacity), c.stream, a);
}

int run_combine(const Call& c) {
  const PlanParts plan(c);
  const int64_t threads = static_cast<int64_t>(c.tokens) * (c.hidden / 8);
  const CombineArguments a = {at<bf16>(c.out),   at<const bf16>(c.a), at<const float>(c.row_gate),
                              plan.token_offset, plan.token_row,      c.tokens,
                              c.hidden};
  return launch_small(combine, small_blocks(c, threads), c.stream, a);
}

}  // namespace
}  // namespace remoe

// 1 to 6: the products as NAMES in run.py has them; 7 row gates; 8 gate gradient; 9 combine.
EXPORT int tensor_cores_run(int what, const remoe::Call* call) {
  const remoe::Call& c = *call;
  if (what >= 1 && what <= 4) return remoe::multiply_weights(what, c);
  if (what == 5 || what == 6) return remoe::weight_gradient(what, c);
  if (what == 7) return remoe::run_row_gates(c);
  if (what == 8) return remoe::run_gate_gradient(c);
  if (what == 9) return remoe::run_combine(c);
  return -1;
}
