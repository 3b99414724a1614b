// Carves one thread's scratch memory into pieces.
#pragma once

#include <cstdint>

#include "per_isa/gemm/cache_tile.h"

namespace remoe::REMOE_TARGET {

// Hands out consecutive pieces of a buffer, 64-byte aligned. Without a buffer it only counts, so
// that one description of a layout gives both its size and its addresses.
class Workspace {
 public:
  explicit Workspace(float* buffer = nullptr) : buffer_(buffer) {}

  float* take(int64_t floats) {
    float* piece = buffer_ == nullptr ? nullptr : buffer_ + floats_;
    floats_ += round_up(floats, 16);
    return piece;
  }
  template <class E = float>
  TileOf<E> tile(int64_t rows, int64_t columns) {
    return {reinterpret_cast<Lane<E>*>(take(TileOf<E>::floats(rows, columns))), rows};
  }
  int64_t floats() const { return floats_; }

 private:
  float* buffer_;
  int64_t floats_ = 0;
};

// Floats taken by a layout: a struct constructed from a Workspace and the call that determines its
// sizes.
template <class Layout, class Call>
int64_t layout_floats(const Call& call) {
  Workspace counting;
  Layout(counting, call);
  return counting.floats();
}

}  // namespace remoe::REMOE_TARGET
