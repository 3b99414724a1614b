// fp32 views of operands that may be bf16. This build computes in fp32 only and treats bf16 as a
// storage format, through a copy. Values written back are rounded once.
#pragma once

#include "per_isa/tensor/cast.h"
#include "runtime/dtype.h"

namespace remoe {

class Fp32Operand {
 public:
  Fp32Operand(Context& context, int32_t dtype, uint64_t address, int64_t count, const char* name)
      : copy_(context, dtype == REMOE_F32 ? 0 : count) {
    const void* source = require_elements(address, dtype, name);
    data_ = dtype == REMOE_F32 ? static_cast<const float*>(source) : copy_.data();
    if (dtype == REMOE_F32) return;
    REMOE_DISPATCH(context, cast, REMOE_F32, copy_.data(), dtype, source, count);
  }
  const float* data() const { return data_; }

 private:
  Scratch<float> copy_;
  const float* data_;
};

// `reads`: whether the current contents are needed, as when results are added to them.
class Fp32Target {
 public:
  Fp32Target(Context& context, int32_t dtype, uint64_t address, int64_t count, bool reads,
             const char* name)
      : context_(context),
        dtype_(dtype),
        target_(require_elements(address, dtype, name)),
        count_(count),
        copy_(context, dtype == REMOE_F32 ? 0 : count) {
    if (dtype == REMOE_F32 || !reads) return;
    REMOE_DISPATCH(context, cast, REMOE_F32, copy_.data(), dtype, target_, count);
  }
  float* data() { return dtype_ == REMOE_F32 ? static_cast<float*>(target_) : copy_.data(); }
  // Writes the copy back, if there is one.
  void commit() {
    if (dtype_ == REMOE_F32) return;
    REMOE_DISPATCH(context_, cast, dtype_, target_, REMOE_F32, copy_.data(), count_);
  }

 private:
  Context& context_;
  int32_t dtype_;
  void* target_;
  int64_t count_;
  Scratch<float> copy_;
};

}  // namespace remoe
