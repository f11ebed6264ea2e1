// Adds up sums of parts and finishes them. Needs finish_plain().
#pragma once

#include "round.h"

namespace qtool::QTOOL_ISA {

// Scratch: a total for each channel.
inline void combine(const Combination& c, const int32_t* const* parts, size_t begin, size_t end, void* scratch,
                    void* out) {
  const size_t channels = c.epilogue->channels;
  double* totals = static_cast<double*>(scratch);
  for (size_t row = begin; row < end; ++row) {
    for (size_t i = 0; i < channels; ++i) totals[i] = c.bias[i];
    for (size_t part = 0; part < c.parts; ++part) {
      const double weight = c.weights[part];
      const int32_t* sums = parts[part] + row * channels;
      for (size_t i = 0; i < channels; ++i) totals[i] += weight * sums[i];
    }
    uint8_t* to = static_cast<uint8_t*>(out) + row * channels * c.epilogue->element;
    finish_plain(*c.epilogue, 0, totals, channels, to);
  }
}

}  // namespace qtool::QTOOL_ISA
