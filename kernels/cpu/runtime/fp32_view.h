// fp32 views of operands that may be bf16, for kernels that compute in fp32 and treat bf16 as a
// storage format, through a copy. Values written back are rounded once.
#pragma once

#include "per_isa/tensor/cast.h"
#include "runtime/dtype.h"

namespace remoe {

// Whether the address of an operand may be 0: its view is then null.
enum Presence { kNeeded, kMayBeMissing };

inline bool is_missing(uint64_t address, Presence presence) {
  return address == 0 && presence == kMayBeMissing;
}

class Fp32Operand {
 public:
  Fp32Operand(Context& context, int32_t dtype, uint64_t address, int64_t count, const char* name,
              Presence presence = kNeeded)
      : copy_(context, dtype == REMOE_F32 || is_missing(address, presence) ? 0 : count) {
    if (is_missing(address, presence)) return;
    const void* source = require_elements(address, dtype, name);
    data_ = dtype == REMOE_F32 ? static_cast<const float*>(source) : copy_.data();
    if (dtype == REMOE_F32) return;
    REMOE_DISPATCH(context, cast, REMOE_F32, copy_.data(), dtype, source, count);
  }
  const float* data() const { return data_; }

 private:
  Scratch<float> copy_;
  const float* data_ = nullptr;
};

// Columns of a row-major matrix, its rows `stride` elements apart.
struct Columns {
  int64_t rows;
  int64_t columns;
  int64_t stride;
  // Elements from the first to the last.
  int64_t extent() const { return (rows - 1) * stride + columns; }
};

// `reads`: whether the current contents are needed, as when results are added to them.
class Fp32Target {
 public:
  Fp32Target(Context& context, int32_t dtype, uint64_t address, const Columns& shape, bool reads,
             const char* name, Presence presence = kNeeded)
      : context_(context),
        dtype_(dtype),
        target_(is_missing(address, presence) ? nullptr : require_elements(address, dtype, name)),
        shape_(dense_if_possible(shape)),
        copy_(context, dtype == REMOE_F32 || target_ == nullptr ? 0 : shape.extent()) {
    if (reads)
      each_row([&](float* copy, uint8_t* target) {
        REMOE_DISPATCH(context_, cast, REMOE_F32, copy, dtype_, target, shape_.columns);
      });
  }
  Fp32Target(Context& context, int32_t dtype, uint64_t address, int64_t count, bool reads,
             const char* name, Presence presence = kNeeded)
      : Fp32Target(context, dtype, address, Columns{1, count, count}, reads, name, presence) {}

  float* data() { return dtype_ == REMOE_F32 ? static_cast<float*>(target_) : copy_.data(); }
  // Writes the copy back, if there is one, and nothing between its rows.
  void commit() {
    each_row([&](float* copy, uint8_t* target) {
      REMOE_DISPATCH(context_, cast, dtype_, target, REMOE_F32, copy, shape_.columns);
    });
  }

 private:
  // One long row where nothing lies between the rows.
  static Columns dense_if_possible(const Columns& shape) {
    return shape.columns == shape.stride ? Columns{1, shape.extent(), shape.extent()} : shape;
  }
  template <class Body>
  void each_row(Body&& body) {
    if (copy_.data() == nullptr) return;
    uint8_t* target = static_cast<uint8_t*>(target_);
    for (int64_t r = 0; r < shape_.rows; ++r) {
      body(copy_.data() + r * shape_.stride, target + r * shape_.stride * bytes_of(dtype_));
    }
  }

  Context& context_;
  int32_t dtype_;
  void* target_;
  Columns shape_;
  Scratch<float> copy_;
};

}  // namespace remoe
