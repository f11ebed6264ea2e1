// Asks for packed weights before they are needed: a product of one row reads them once, in order.
#pragma once

#include <immintrin.h>

#include "plan.h"

namespace qtool::QTOOL_ISA {

// Bytes in advance; measured at 128 MB of weights. Asking for what lies behind the end does no harm.
constexpr size_t kAhead = 2048;

template <int kBits>
inline void ask_ahead(const uint8_t* slice) {
  for (size_t line = 0; line < kBits; ++line) {
    _mm_prefetch(reinterpret_cast<const char*>(slice) + kAhead + line * kLine, _MM_HINT_T0);
  }
}

}  // namespace qtool::QTOOL_ISA
