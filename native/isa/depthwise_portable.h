// Sums of one output pixel of a depthwise convolution, in plain C++.
#pragma once

#include "depthwise_channels.h"

namespace qtool::QTOOL_ISA {

inline void depthwise_pixel(const uint8_t* const* taps, size_t pairs, const int16_t* weights, size_t pair_stride,
                            size_t channels, int32_t* sums) {
  depthwise_channels(taps, pairs, weights, pair_stride, 0, channels, sums);
}

}  // namespace qtool::QTOOL_ISA
