// Sums of some channels of one output pixel of a depthwise convolution.
#pragma once

#include "plan.h"

namespace qtool::QTOOL_ISA {

// Writes the sums of some channels; taps come in pairs, each a pointer to the first channel under it.
inline void depthwise_channels(const uint8_t* const* taps, size_t pairs, const int16_t* weights, size_t pair_stride,
                               size_t begin, size_t end, int32_t* sums) {
  for (size_t i = begin; i < end; ++i) sums[i] = 0;
  for (size_t pair = 0; pair < pairs; ++pair, weights += pair_stride) {
    const uint8_t *left = taps[2 * pair], *right = taps[2 * pair + 1];
    for (size_t i = begin; i < end; ++i) sums[i] += left[i] * weights[2 * i] + right[i] * weights[2 * i + 1];
  }
}

}  // namespace qtool::QTOOL_ISA
