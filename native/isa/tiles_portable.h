// Products of bytes in plain C++.
#pragma once

#include "plan.h"

namespace qtool::QTOOL_ISA {

struct Tiles {
  static constexpr size_t kRows = 6;
  static constexpr size_t kBlocks = 1;
  static constexpr bool kVector = false;

  static bool wide(const Gemm&) { return false; }
  static void widen_row(const uint8_t*, size_t, uint8_t*) {}
  static void widen_slice(const uint8_t*, uint8_t*) {}
  static size_t vector_element(const Gemm&) { return 1; }
  static void vector_row(const Gemm&, const uint8_t*, size_t, uint8_t*) {}
  static void multiply_vector(const Gemm&, const uint8_t*, const uint8_t*, int32_t*) {}

  static void multiply(const Gemm& g, size_t rows, size_t, const uint8_t* left, size_t stride, const uint8_t* panel,
                       size_t, int32_t* sums) {
    const size_t steps = round_up(g.k, kDepth) / 4;
    for (size_t row = 0; row < rows; ++row) {
      const uint8_t* a = left + row * stride;
      uint32_t total[kColumns] = {};
      for (size_t step = 0; step < steps; ++step) {
        const int8_t* b = reinterpret_cast<const int8_t*>(panel + step * kLine);
        for (size_t column = 0; column < kColumns; ++column) {
          int32_t sum = 0;
          for (size_t i = 0; i < 4; ++i) sum += a[step * 4 + i] * b[column * 4 + i];
          total[column] += static_cast<uint32_t>(sum);
        }
      }
      for (size_t column = 0; column < kColumns; ++column) {
        sums[row * kColumns + column] = static_cast<int32_t>(total[column]);
      }
    }
  }
};

}  // namespace qtool::QTOOL_ISA
