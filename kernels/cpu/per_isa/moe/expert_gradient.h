// Gradient of one expert for some of its rows. With A = silu(g) * u of the pre-activations
// h = (g | u), a row of token t and expert e contributes y_t += gate (A W_down). For dY = dy_t:
//
//   dA' = dY W_down^T                  the gradient of A, up to the gate
//   dgate = <dY, A W_down> = <dY W_down^T, A> = <dA', A>
//   dA = gate dA'
//   dg = dA * u * silu'(g),  du = dA * silu(g)
//   dx_t += dg W_gate^T + du W_up^T
//   dW_gate = sum over rows of x_t^T dg, dW_up of x_t^T du, dW_down of (gate A)^T dY
//
// so neither A W_down nor A needs to be kept: h is enough. Where h was not kept it is recomputed,
// x W1 one block at a time, with the same products as experts_forward.cpp and so to the same bits.
//
// The width is processed in chunks, and the rows of a chunk in tiles: a tile's dY, x, dg, du and
// gate A are copied once, and each of them serves two products in place.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "per_isa/gemm/cache_product.h"
#include "per_isa/gemm/weight_panels.h"
#include "per_isa/gemm/workspace.h"
#include "per_isa/moe/expert_calls.h"
#include "per_isa/moe/expert_tasks.h"
#include "per_isa/moe/swiglu.h"
#include "per_isa/moe/weight_gradient_parts.h"

namespace remoe::REMOE_TARGET {

using ExpertGradient = ExpertsGradient<float>;

// Rows per tile, a multiple of 14 and of 6. More rows mean a longer inner dimension for the weight
// gradients, which are then read and added to less often. A task of a single tile copies its rows
// once for all chunks of the width.
inline constexpr int64_t kGradientTileRows = 378;

// A thread's scratch.
struct GradientMemory {
  CacheTile x, dy;           // [tile, D]
  CacheTile dg, du, gated;   // [tile, chunk]; gated: gate A
  float *down, *gate, *up;   // panels of the transposed weights
  float* gate_up = nullptr;  // panels of the weights, to recompute h
  float* h = nullptr;        // [kBlockRows, 2 chunk]

  GradientMemory(Workspace& memory, const ExpertGradient& call) {
    // Blocks of transposed products are computed whole, hence whole chunks of rows.
    const int64_t hidden = round_up(call.hidden, kChunk);
    for (CacheTile* tile : {&x, &dy}) *tile = memory.tile(call.tile, hidden);
    for (CacheTile* tile : {&dg, &du, &gated}) *tile = memory.tile(call.tile, call.chunk);
    down = memory.take(panels_floats(call.hidden, call.chunk));
    for (float** panels : {&gate, &up})
      *panels = memory.take(panels_floats(call.chunk, call.hidden));
    if (!call.recomputes) return;
    gate_up = memory.take(gate_up_panels_floats(call.hidden, call.chunk));
    h = memory.take(kBlockRows * 2 * call.chunk);
  }
};

// Location of the pre-activations of a block of rows: g of row i at data[i * stride], u `up`
// further on.
struct PreActivations {
  const float* data;
  int64_t stride;
  int64_t up;
};

class ExpertGradientTask {
 public:
  ExpertGradientTask(const ExpertGradient& call, const GradientMemory& memory,
                     const ExpertTask& task, const WeightGradients& target)
      : call_(call), memory_(memory), task_(task), target_(target) {}

  void run() {
    const int64_t tiles = (task_.rows() + call_.tile - 1) / call_.tile;
    for (int64_t w = 0; w < call_.width; w += call_.chunk) {
      width_ = {w, std::min(call_.width, w + call_.chunk)};
      pack_weights();
      for (int64_t i = 0; i < tiles; ++i) {
        const Range rows = part_of(task_.rows(), tiles, i, kBlockRows);
        if (w == 0 || tiles > 1) fill_tiles(task_.begin + rows.begin, rows.end - rows.begin);
        tile_gradient(task_.begin + rows.begin, rows.end - rows.begin);
        weight_gradients(rows.end - rows.begin, i > 0);
      }
    }
  }

 private:
  int64_t columns() const { return width_.end - width_.begin; }
  bool recomputes() const { return task_.end > call_.kept_rows; }

  void pack_weights() {
    const float* w1 = call_.w1 + task_.expert * call_.hidden * 2 * call_.width + width_.begin;
    const float* w2 = call_.w2 + (task_.expert * call_.width + width_.begin) * call_.hidden;
    pack_transposed_panels(memory_.down, w2, call_.hidden, call_.hidden, columns());
    if (recomputes()) {
      pack_gate_up_panels(memory_.gate_up, w1, call_.hidden, call_.width, columns());
    }
    if (call_.dx_rows == nullptr) return;
    pack_transposed_panels(memory_.gate, w1, 2 * call_.width, columns(), call_.hidden);
    pack_transposed_panels(memory_.up, w1 + call_.width, 2 * call_.width, columns(), call_.hidden);
  }

  void fill_tiles(int64_t begin, int64_t rows) {
    const int32_t* token = call_.row_token + begin;
    const int64_t hidden = call_.hidden, filled = round_up(rows, kBlockRows);
    fill_tile(memory_.dy, filled, rows, hidden,
              [&](int64_t r) { return call_.dy + token[r] * hidden; });
    if (target_.dw1 == nullptr && !recomputes()) return;
    fill_tile(memory_.x, filled, rows, hidden,
              [&](int64_t r) { return call_.x + token[r] * hidden; });
  }

  void tile_gradient(int64_t begin, int64_t rows) {
    for (int64_t r = 0; r < rows; r += kBlockRows) {
      const int count = static_cast<int>(std::min<int64_t>(kBlockRows, rows - r));
      activation_rows(begin, r, count);
      if (call_.dx_rows != nullptr) input_rows(begin, r, count);
    }
  }

  // Adds a tile's part of the chunk's columns of dW1 and rows of dW2.
  void weight_gradients(int64_t rows, bool add) {
    const int64_t w = width_.begin, width = call_.width, hidden = call_.hidden;
    if (target_.dw1 != nullptr) {
      const Target dw1{target_.dw1 + w, 2 * width, add || target_.add_dw1};
      transposed_product(dw1, memory_.x, hidden, memory_.dg, columns(), rows);
      transposed_product(dw1.from(0, width), memory_.x, hidden, memory_.du, columns(), rows);
    }
    if (target_.dw2 != nullptr) {
      const Target dw2{target_.dw2 + w * hidden, hidden, add || target_.add_dw2};
      transposed_product(dw2, memory_.gated, columns(), memory_.dy, hidden, rows);
    }
  }

  // Computes dg, du, gate A and dgate for rows [r, r + count) of the tile that starts at `begin`.
  void activation_rows(int64_t begin, int64_t r, int count) {
    const int32_t* token = call_.row_token + begin + r;
    float gates[kBlockRows];
    for (int i = 0; i < count; ++i) gates[i] = call_.gates[token[i] * call_.experts + task_.expert];
    const PreActivations h = pre_activations(begin, r, count);
    Vec dots[kBlockRows] = {};
    RegisterBlock block;
    for (int64_t j = 0; j < columns(); j += kPanel) {
      prefetch(h, j, count);
      multiply_block<false>(block, memory_.dy, r, call_.hidden,
                            memory_.down + j / kPanel * panel_floats(call_.hidden));
      for (int i = 0; i < count; ++i) {
        const float* row = h.data + i * h.stride + j;
        for (int v = 0; v < 2; ++v) {
          dots[i] += activation(load(block.row(i) + v * kLanes), gates[i], row + v * kLanes, h.up,
                                r + i, j + v * kLanes);
        }
      }
    }
    if (call_.dgates == nullptr) return;
    const bool add = call_.add_dgates || width_.begin > 0;
    for (int i = 0; i < count; ++i) {
      float& dgate = call_.dgates[token[i] * call_.experts + task_.expert];
      dgate = (add ? dgate : 0.0f) + sum(dots[i]);
    }
  }

  // h of a block of rows: kept or recomputed. A block with both kinds of rows is recomputed.
  PreActivations pre_activations(int64_t begin, int64_t r, int count) {
    if (begin + r + count <= call_.kept_rows) {
      return {call_.h + (begin + r) * 2 * call_.width + width_.begin, 2 * call_.width, call_.width};
    }
    RegisterBlock block;
    for (int64_t j = 0; j < columns(); j += kLanes) {
      multiply_block<false>(block, memory_.x, r, call_.hidden,
                            memory_.gate_up + j / kLanes * panel_floats(call_.hidden));
      float* h = memory_.h + j;
      for (int i = 0; i < count; ++i, h += 2 * call_.chunk) {
        store(h, load(block.row(i)));
        store(h + call_.chunk, load(block.row(i) + kLanes));
      }
    }
    return {memory_.h, 2 * call_.chunk, call_.chunk};
  }

  // Kept h comes from memory, so it is prefetched while dA' is computed.
  void prefetch(const PreActivations& h, int64_t j, int count) {
    if (h.data == memory_.h) return;
    const float* row = h.data + j;
    for (int i = 0; i < count; ++i, row += h.stride) {
      for (int line = 0; line < kPanel; line += 16) {
        __builtin_prefetch(row + line);
        __builtin_prefetch(row + h.up + line);
      }
    }
  }

  // One vector of columns of a row, with `column` counted from the start of the chunk; returns dA'
  // * A.
  REMOE_INLINE Vec activation(Vec da, float gate, const float* h, int64_t up, int64_t row,
                              int64_t column) {
    const int64_t left = columns() - column;
    Vec g = {}, u = {};
    if (left >= kLanes) {
      g = load(h);
      u = load(h + up);
    } else if (left > 0) {
      g = load_partial(h, left);
      u = load_partial(h + up, left);
    }
    const auto d = swiglu_derivative(da * gate, g, u);
    store(memory_.dg.at(row, column), d.dg);
    store(memory_.du.at(row, column), d.du);
    store(memory_.gated.at(row, column), d.activation * gate);
    return da * d.activation;
  }

  // Computes dx of a block of rows from their dg and du.
  void input_rows(int64_t begin, int64_t r, int count) {
    RegisterBlock block;
    for (int64_t d = 0; d < call_.hidden; d += kPanel) {
      const int64_t panel = d / kPanel * panel_floats(columns());
      multiply_block<false>(block, memory_.dg, r, columns(), memory_.gate + panel);
      multiply_block<true>(block, memory_.du, r, columns(), memory_.up + panel);
      write_block(block, count, call_.hidden - d,
                  {call_.dx_rows + (begin + r) * call_.hidden + d, call_.hidden, width_.begin > 0});
    }
  }

  const ExpertGradient& call_;
  const GradientMemory& memory_;
  const ExpertTask& task_;
  WeightGradients target_;
  Range width_{0, 0};
};

}  // namespace remoe::REMOE_TARGET
