// Products of weights whose runs have multipliers: the sums of a run are made by the same tiles as any others, then
// multiplied and added to those of the runs before. Needs Tiles.
#pragma once

#include <cstring>

#include "unpack.h"

namespace qtool::QTOOL_ISA {

// Clears the codes of a slice that lie outside of begin..end, counted along k from its first.
inline void keep_codes(uint8_t* codes, size_t begin, size_t end) {
  for (size_t row = 0; row < kDepth; ++row) {
    if (row >= begin && row < end) continue;
    for (size_t column = 0; column < kColumns; ++column) codes[row / 4 * kLine + column * 4 + row % 4] = 0;
  }
}

// Unpacks 16 columns run by run, codes less their centre; what a slice holds of other runs is zero.
inline void load_runs(const Gemm& g, size_t element, const uint8_t* weights, uint8_t* panel) {
  const uint8_t centre = static_cast<uint8_t>(1 << (g.bits - 1));
  const size_t slice_bytes = static_cast<size_t>(g.bits) * kLine;
  uint8_t codes[kSliceCodes];
  for (size_t run = 0; run < g.runs->count; ++run) {
    const size_t begin = g.runs->begin(run), end = g.runs->end(run), first = g.runs->first_slice(run);
    for (size_t i = 0; i < g.runs->slices(run); ++i, panel += element * kSliceCodes) {
      const size_t start = (first + i) * kDepth;
      with_bits(g.bits, UnpackSlices{weights + (first + i) * slice_bytes, 1, centre, codes});
      if (begin > start || end < start + kDepth) {
        keep_codes(codes, begin > start ? begin - start : 0, end - start);
      }
      if (element == 1) memcpy(panel, codes, kSliceCodes);
      if (element == 2) Tiles::widen_slice(codes, panel);
    }
  }
}

// Adds multiplied sums of some rows of 16 columns; like all sums, modulo 2**32 on the way.
inline void add_multiplied(const int32_t* sums, const int32_t* multiplier, size_t rows, size_t stride, int32_t* total) {
  for (size_t row = 0; row < rows; ++row, sums += stride, total += stride) {
    for (size_t i = 0; i < kColumns; ++i) {
      const uint32_t product = static_cast<uint32_t>(sums[i]) * static_cast<uint32_t>(multiplier[i]);
      total[i] = static_cast<int32_t>(static_cast<uint32_t>(total[i]) + product);
    }
  }
}

inline void multiply_runs(const Gemm& g, size_t element, size_t rows, size_t block, size_t blocks, const uint8_t* left,
                          size_t stride, const uint8_t* panel, size_t panel_bytes, int32_t* total) {
  alignas(64) int32_t sums[Tiles::kRows * Tiles::kBlocks * kColumns];
  const size_t width = blocks * kColumns;
  memset(total, 0, rows * width * sizeof(int32_t));
  Gemm part = g;
  for (size_t run = 0; run < g.runs->count; ++run) {
    part.k = g.runs->slices(run) * kDepth;
    const uint8_t* from = left + g.runs->first_slice(run) * kDepth * element;
    Tiles::multiply(part, rows, blocks, from, stride, panel, panel_bytes, sums);
    for (size_t i = 0; i < blocks; ++i) {
      const int32_t* multiplier = g.runs->multiplier + ((block + i) * g.runs->count + run) * kColumns;
      add_multiplied(sums + i * kColumns, multiplier, rows, width, total + i * kColumns);
    }
    panel += part.k * kColumns * element;
  }
}

}  // namespace qtool::QTOOL_ISA
