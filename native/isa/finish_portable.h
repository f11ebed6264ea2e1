// From sums to codes, a sum at a time.
#pragma once

#include "round.h"

namespace qtool::QTOOL_ISA {

// Corrects the sums in place and writes `count` codes or, under kReal, float32 values.
inline void finish(const Epilogue& e, const Correction& c, size_t channel, int32_t row_sum, int32_t* sums,
                   size_t count, void* out) {
  correct(c, channel, row_sum, count, sums);
  finish_plain(e, channel, sums, count, out);
}

}  // namespace qtool::QTOOL_ISA
