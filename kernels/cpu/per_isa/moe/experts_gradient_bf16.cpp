// Gradient of the experts in bf16: the formulas of expert_gradient.h, each product of a tile of one
// expert's rows through the packed products of runtime/gemm.h. dA' is in fp32; gate A, dg and du
// are rounded, since they are operands of the next products.
#include <cstring>

#include "per_isa/gemm/workspace.h"
#include "per_isa/moe/combine.h"
#include "per_isa/moe/expert_calls.h"
#include "per_isa/moe/expert_products.h"
#include "per_isa/moe/experts_bf16.h"
#include "per_isa/moe/swiglu.h"
#include "per_isa/moe/weight_gradient_parts.h"
#include "per_isa/scratch_bytes.h"

namespace remoe::REMOE_TARGET {
namespace {

// Rows per tile at most: a longer inner dimension for the weight gradients, which are then read and
// added to less often.
constexpr int kTile = 504;

using Gradient = ExpertsGradient<Bf16>;

// A thread's scratch.
struct Memory {
  uint32_t* down;               // packed W_down^T
  uint32_t *gate, *up;          // packed W_gate^T, W_up^T
  uint32_t* gate_up = nullptr;  // packed W_gate | W_up, to recompute h
  float* da;                    // [tile, stride of GateUp]: h recomputed, then dA'
  Bf16 *dg, *du, *gated;        // [tile, chunk]
  Bf16* h = nullptr;            // [tile, 2 chunk]: recomputed

  Memory(Workspace& memory, const Context& context, const Gradient& call) {
    const GateUp widest(context, call.chunk);
    const auto lanes = [&](int k, int n) {
      return reinterpret_cast<uint32_t*>(memory.take(packed_size<Bf16>(context, k, n)));
    };
    const auto halves = [&](int64_t count) {
      return reinterpret_cast<Bf16*>(memory.take((count + 1) / 2));
    };
    down = lanes(call.hidden, call.chunk);
    gate = lanes(call.chunk, call.hidden);
    up = lanes(call.chunk, call.hidden);
    da = memory.take(int64_t{call.tile} * widest.stride());
    for (Bf16** of : {&dg, &du, &gated}) *of = halves(int64_t{call.tile} * call.chunk);
    if (!call.recomputes) return;
    gate_up = lanes(call.hidden, widest.product_columns());
    h = halves(int64_t{call.tile} * 2 * call.chunk);
  }
};

// Location of the pre-activations of a row: g at data, u `up` further on.
struct PreActivations {
  const Bf16* data;
  int64_t up;
};

class GradientTask {
 public:
  GradientTask(Context& context, const Gradient& call, const Memory& memory, const ExpertTask& task,
               const WeightGradients& target)
      : context_(context), call_(call), memory_(memory), task_(task), target_(target) {}

  void run() {
    const int tiles = (task_.rows() + call_.tile - 1) / call_.tile;
    for (width_begin_ = 0; width_begin_ < call_.width; width_begin_ += call_.chunk) {
      columns_ = std::min(call_.chunk, call_.width - width_begin_);
      pack_weights();
      for (int i = 0; i < tiles; ++i) {
        const Range range = part_of(task_.rows(), tiles, i, kBlockRows);
        begin_ = task_.begin + static_cast<int>(range.begin);
        rows_ = static_cast<int>(range.end - range.begin);
        token_ = call_.row_token + begin_;
        recompute();
        activations();
        input_rows();
        weight_gradients(i > 0);
      }
    }
  }

 private:
  bool recomputes() const { return task_.end > call_.kept_rows; }
  Bf16Operand gathered(const Bf16* states, bool transposed = false) const {
    return {states, call_.hidden, transposed, token_};
  }
  Bf16Operand chunk_of(const Bf16* tile, bool transposed = false) const {
    return {tile, call_.chunk, transposed};
  }

  void pack_weights() {
    const int hidden = call_.hidden;
    const int64_t of_w1 = 2 * int64_t{call_.width};
    const Bf16* w1 = call_.w1 + task_.expert * hidden * of_w1 + width_begin_;
    const Bf16* w2 = call_.w2 + (task_.expert * int64_t{call_.width} + width_begin_) * hidden;
    pack(context_, hidden, columns_, Bf16Operand{w2, hidden, true}, memory_.down);
    if (recomputes()) {
      pack_gate_up(context_, {context_, columns_}, hidden, call_.width, w1, memory_.gate_up);
    }
    if (call_.dx_rows == nullptr) return;
    pack(context_, columns_, hidden, Bf16Operand{w1, of_w1, true}, memory_.gate);
    pack(context_, columns_, hidden, Bf16Operand{w1 + call_.width, of_w1, true}, memory_.up);
  }

  // h of the tile's rows that were not kept, with the forward pass's products and so to its bits.
  void recompute() {
    const int kept = static_cast<int>(std::clamp<int64_t>(call_.kept_rows - begin_, 0, rows_));
    if (kept == rows_) return;
    const GateUp sizes(context_, columns_);
    gemm_packed(context_, rows_ - kept, sizes.product_columns(), call_.hidden, 1.0f,
                Bf16Operand{call_.x, call_.hidden, false, token_ + kept}, memory_.gate_up, 0.0f,
                memory_.da, sizes.stride());
    for (int r = kept; r < rows_; ++r) {
      Bf16* h = memory_.h + r * int64_t{2} * call_.chunk;
      round_pre_activations(h, h + call_.chunk, memory_.da + int64_t{r - kept} * sizes.stride(),
                            sizes.up, columns_);
    }
  }

  PreActivations pre_activations(int r) const {
    if (begin_ + r < call_.kept_rows) {
      return {call_.h + (begin_ + r) * int64_t{2} * call_.width + width_begin_, call_.width};
    }
    return {memory_.h + r * int64_t{2} * call_.chunk, call_.chunk};
  }

  // dA', and from it dgates, dg, du and gate A.
  void activations() {
    gemm_packed(context_, rows_, columns_, call_.hidden, 1.0f, gathered(call_.dy), memory_.down,
                0.0f, memory_.da, call_.chunk);
    const bool add = call_.add_dgates || width_begin_ > 0;
    for (int r = 0; r < rows_; ++r) {
      const int64_t pair = token_[r] * int64_t{call_.experts} + task_.expert;
      const float dot = activation_row(r, call_.gates[pair]);
      if (call_.dgates != nullptr) call_.dgates[pair] = (add ? call_.dgates[pair] : 0.0f) + dot;
    }
  }

  // Returns <dA', A> of a row's columns.
  float activation_row(int r, float gate) {
    const PreActivations h = pre_activations(r);
    const int64_t at = r * int64_t{call_.chunk};
    Vec vector_dot{};
    float tail_dot = 0;
    each_vector(columns_, [&](auto access, int64_t i) {
      const auto g = access.load(h.data + i), u = access.load(h.data + h.up + i);
      const auto da = access.load(memory_.da + at + i);
      const auto d = swiglu_derivative(da * access.splat(gate), g, u);
      access.store(memory_.dg + at + i, d.dg);
      access.store(memory_.du + at + i, d.du);
      access.store(memory_.gated + at + i, d.activation * access.splat(gate));
      access.sum(vector_dot, tail_dot) += da * d.activation;
    });
    return sum(vector_dot) + tail_dot;
  }

  // dx of the tile's rows.
  void input_rows() {
    if (call_.dx_rows == nullptr) return;
    const int hidden = call_.hidden;
    float* dx = call_.dx_rows + begin_ * int64_t{hidden};
    gemm_packed(context_, rows_, hidden, columns_, 1.0f, chunk_of(memory_.dg), memory_.gate,
                width_begin_ > 0 ? 1.0f : 0.0f, dx, hidden);
    gemm_packed(context_, rows_, hidden, columns_, 1.0f, chunk_of(memory_.du), memory_.up, 1.0f, dx,
                hidden);
  }

  void weight_gradients(bool later_tile) {
    const int hidden = call_.hidden;
    if (target_.dw1 != nullptr) {
      const float beta = later_tile || target_.add_dw1 ? 1.0f : 0.0f;
      const int64_t stride = 2 * int64_t{call_.width};
      float* dw1 = target_.dw1 + width_begin_;
      gemm_one_thread(context_, hidden, columns_, rows_, 1.0f, gathered(call_.x, true),
                      chunk_of(memory_.dg), beta, dw1, stride);
      gemm_one_thread(context_, hidden, columns_, rows_, 1.0f, gathered(call_.x, true),
                      chunk_of(memory_.du), beta, dw1 + call_.width, stride);
    }
    if (target_.dw2 == nullptr) return;
    gemm_one_thread(context_, columns_, hidden, rows_, 1.0f, chunk_of(memory_.gated, true),
                    gathered(call_.dy), later_tile || target_.add_dw2 ? 1.0f : 0.0f,
                    target_.dw2 + width_begin_ * int64_t{hidden}, hidden);
  }

  Context& context_;
  const Gradient& call_;
  const Memory& memory_;
  const ExpertTask& task_;
  const WeightGradients& target_;
  int width_begin_ = 0, columns_ = 0;  // of the chunk of the width
  int begin_ = 0, rows_ = 0;           // of the tile
  const int32_t* token_ = nullptr;     // of its rows
};

int64_t thread_floats(const Context& context, const Gradient& call) {
  Workspace counting;
  Memory(counting, context, call);
  return counting.floats();
}

void set_sizes(Gradient& call, int rows, int tokens, int hidden, int width, int experts) {
  call.recomputes = call.kept_rows < rows;
  call.hidden = hidden;
  call.width = width;
  call.experts = experts;
  call.chunk = bf16_width_chunk(hidden, width);
  // No expert has more rows than there are tokens: scratch has the same size in every step.
  call.tile = static_cast<int>(std::min<int64_t>(round_up(tokens, kBlockRows), kTile));
}

}  // namespace

// The scratch memory of experts_gradient_bf16() below, in the order in which it is taken.
double experts_gradient_bf16_scratch(Context& context, int rows, int kept_rows, int tokens,
                                     int hidden, int width, int experts) {
  const int most = gradient_task_rows(rows);
  Gradient call{};
  call.kept_rows = kept_rows;
  set_sizes(call, rows, tokens, hidden, width, experts);
  const double floats =
      static_cast<double>(rows) * hidden +
      static_cast<double>(expected_parts(rows, experts, most) * kPartMatrices) * hidden * width +
      static_cast<double>(context.threads * thread_floats(context, call));
  return static_cast<double>(ExpertTasks::bytes(rows, experts, most)) + sizeof(float) * floats;
}

void experts_gradient_bf16(Context& context, Bf16* dx, float* dw1, float* dw2, float* dgates,
                           const Bf16* dy, const Bf16* h, const Bf16* x, const Bf16* w1,
                           const Bf16* w2, const float* gates, const int32_t* plan_words,
                           int kept_rows, int tokens, int hidden, int width, int experts,
                           int accumulate) {
  const Plan plan(plan_words, tokens, experts);
  ExpertTasks tasks(context, plan, experts, gradient_task_rows(plan.rows()));
  Scratch<float> dx_rows(context, dx != nullptr ? int64_t{plan.rows()} * hidden : 0);
  Gradient call{dx != nullptr ? dx_rows.data() : nullptr,
                dgates,
                (accumulate & kDgates) != 0,
                dy,
                h,
                kept_rows,
                false,
                x,
                w1,
                w2,
                gates,
                plan.row_token(),
                0,
                0,
                0,
                0,
                0};
  set_sizes(call, plan.rows(), tokens, hidden, width, experts);

  WeightGradientParts parts(context, dw1, dw2, accumulate, tasks, int64_t{hidden} * width);
  if (!call.add_dgates) clear_gates(context, dgates, int64_t{tokens} * experts);
  const int64_t of_thread = thread_floats(context, call);
  Scratch<float> memory(context, context.threads * of_thread);
  parallel_tasks(context, tasks.count(), [&](int64_t i, int thread) {
    Workspace workspace(memory.data() + thread * of_thread);
    const WeightGradients target = parts.of(tasks[i]);
    GradientTask(context, call, Memory(workspace, context, call), tasks[i], target).run();
  });
  parts.join(context, plan, tasks, experts);
  if (dx != nullptr) combine(context, dx, dx_rows.data(), plan, tokens, hidden, accumulate & kDx);
}

}  // namespace remoe::REMOE_TARGET
