// What one AdamW step multiplies with, worked out in fp64 once a step.
#pragma once

namespace remoe {

struct AdamwFactors {
  float beta1;
  float one_less_beta1;
  float beta2;
  float one_less_beta2;
  float epsilon;
  float clip_scale;
  float step;               // learning rate / bias correction 1
  float second_correction;  // 1 / sqrt(bias correction 2)
  float kept_by_decay;      // 1 - learning rate * weight decay
};

}  // namespace remoe
