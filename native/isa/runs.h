// Products of weights whose runs have multipliers: the sums of a run are made by the same tiles as any others, then
// multiplied and added to those of the runs before. Needs Tiles.
#pragma once

#include <cstring>

#include "gather.h"
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
    const Run& at = g.runs->run[run];
    for (size_t slice = at.first_slice; slice < at.first_slice + at.slices; ++slice, panel += element * kSliceCodes) {
      const size_t start = slice * kDepth;
      with_bits(g.bits, UnpackSlices{weights + slice * slice_bytes, 1, centre, codes});
      if (at.begin > start || at.end < start + kDepth) {
        keep_codes(codes, at.begin > start ? at.begin - start : 0, at.end - start);
      }
      if (element == 1) memcpy(panel, codes, kSliceCodes);
      if (element == 2) Tiles::widen_slice(codes, panel);
    }
  }
}

// Adds multiplied sums of some rows of 16 columns; like all sums, modulo 2**32 on the way.
inline void add_multiplied(const int32_t* __restrict sums, const int32_t* __restrict multiplier, size_t rows,
                           size_t stride, int32_t* __restrict total) {
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
    const Run& at = g.runs->run[run];
    part.k = at.slices * kDepth;
    const uint8_t* from = left + at.first_slice * kDepth * element;
    Tiles::multiply(part, rows, blocks, from, stride, panel, panel_bytes, sums);
    for (size_t i = 0; i < blocks; ++i) {
      const int32_t* multiplier = g.runs->multiplier + ((block + i) * g.runs->count + run) * kColumns;
      add_multiplied(sums + i * kColumns, multiplier, rows, width, total + i * kColumns);
    }
    panel += part.k * kColumns * element;
  }
}

// Sums of activations less 128, for each run of a row.
inline void run_row_sums(const Runs& runs, const uint8_t* row, int32_t* sums) {
  for (size_t run = 0; run < runs.count; ++run) {
    const Run& at = runs.run[run];
    sums[run] = byte_sum(row + at.begin, at.end - at.begin) - 128 * static_cast<int32_t>(at.end - at.begin);
  }
}

// Sums of one row and 16 columns, whose codes go through registers only: activations less 128 times codes as they
// are stored, from which the centre of the codes is taken run by run.
inline void multiply_vector_runs(const Gemm& g, const uint8_t* weights, size_t block, const uint8_t* spread,
                                 const int32_t* row_sums, int32_t* total) {
  alignas(64) int32_t sums[kColumns];
  const size_t slice_bytes = static_cast<size_t>(g.bits) * kLine;
  const size_t row_bytes = kDepth * Tiles::vector_element(g);
  memset(total, 0, sizeof sums);
  Gemm part = g;
  for (size_t run = 0; run < g.runs->count; ++run) {
    const Run& at = g.runs->run[run];
    part.k = at.slices * kDepth;
    Tiles::multiply_vector(part, weights + at.first_slice * slice_bytes, spread + at.first_slice * row_bytes, sums);
    for (size_t i = 0; i < kColumns; ++i) sums[i] -= row_sums[run] * (1 << (g.bits - 1));
    add_multiplied(sums, g.runs->multiplier + (block * g.runs->count + run) * kColumns, 1, kColumns, total);
  }
}

}  // namespace qtool::QTOOL_ISA
