// Products of two computed matrices: the right one is laid into the slices of packed weights of 8 bits, and from
// there on it is a matrix product as any other.
#pragma once

#include "gemm.h"

namespace qtool::QTOOL_ISA {

struct MatMulLayout {
  size_t channels, offsets_at, gemm_at, bytes;

  MatMulLayout(const MatMul& p, size_t rows) {
    const Gemm g{nullptr, 8, p.left_max, p.n, p.k, 1, {}, {}, p.epilogue};
    channels = round_up(p.n, kColumns) + kSlack;
    offsets_at = g.group_bytes();
    gemm_at = round_up(offsets_at + 4 * channels * sizeof(int32_t), kAlign);
    bytes = gemm_at + gemm_scratch(g, rows);
  }
};

inline size_t matmul_scratch(const MatMul& p, size_t rows) { return MatMulLayout(p, rows).bytes; }

// Four rows of 16 columns, beside each other by column; sums grow by the codes.
inline void pack_tile(const uint8_t* const* rows, uint8_t* to, int32_t* sums) {
  for (size_t column = 0; column < kColumns; ++column) {
    const uint8_t a = rows[0][column], b = rows[1][column], c = rows[2][column], d = rows[3][column];
    to[4 * column] = a;
    to[4 * column + 1] = b;
    to[4 * column + 2] = c;
    to[4 * column + 3] = d;
    sums[column] += a + b + c + d;
  }
}

// Packs a block of 16 columns; what lies outside of the matrix is 0.
inline void pack_block(const MatMul& p, const uint8_t* right, size_t first, uint8_t* to, int32_t* sums) {
  const size_t columns = p.n - first < kColumns ? p.n - first : kColumns;
  const uint8_t zeros[kColumns] = {};
  uint8_t copies[4][kColumns] = {};
  for (size_t column = 0; column < kColumns; ++column) sums[column] = 0;
  for (size_t k = 0; k < round_up(p.k, kDepth); k += 4, to += kLine) {
    const uint8_t* rows[4];
    for (size_t i = 0; i < 4; ++i) {
      const uint8_t* row = right + (k + i) * p.n + first;
      rows[i] = k + i >= p.k ? zeros : columns == kColumns ? row : copies[i];
      if (rows[i] == copies[i]) memcpy(copies[i], row, columns);
    }
    pack_tile(rows, to, sums);
  }
}

// Turns sums of right codes into corrections, as layers with constant weights have them.
inline void correct_columns(const MatMul& p, int32_t* offset, int32_t* slope, int32_t* vector_offset,
                            int32_t* vector_slope) {
  for (size_t i = 0; i < p.n; ++i) {
    const uint32_t codes = static_cast<uint32_t>(offset[i]);
    const uint32_t centred = codes - static_cast<uint32_t>(p.k) * static_cast<uint32_t>(p.zero_right);
    const uint32_t correction = 0u - static_cast<uint32_t>(p.zero_left) * centred;
    offset[i] = static_cast<int32_t>(correction);
    slope[i] = 128 - p.zero_right;
    vector_offset[i] = static_cast<int32_t>(correction + 128u * codes);
    vector_slope[i] = -p.zero_right;
  }
}

// Rows `begin` to `end` of one product.
inline void matmul(const MatMul& p, const uint8_t* left, const uint8_t* right, size_t begin, size_t end,
                   void* scratch_memory, void* out) {
  const MatMulLayout at(p, end - begin);
  uint8_t* scratch = static_cast<uint8_t*>(scratch_memory);
  int32_t* offset = reinterpret_cast<int32_t*>(scratch + at.offsets_at);
  int32_t* slope = offset + at.channels;
  int32_t *vector_offset = slope + at.channels, *vector_slope = vector_offset + at.channels;
  Gemm g{scratch, 8, p.left_max, p.n, p.k, 1, {offset, slope}, {vector_offset, vector_slope}, p.epilogue};
  for (size_t block = 0; block < g.column_blocks(); ++block) {
    pack_block(p, right, block * kColumns, scratch + block * g.block_bytes(), offset + block * kColumns);
  }
  correct_columns(p, offset, slope, vector_offset, vector_slope);
  const Rows rows{left, p.k, nullptr, 0, p.k};
  gemm(g, 0, rows, Region{begin, end, 0, g.column_blocks()}, scratch + at.gemm_at, out, p.n);
}

}  // namespace qtool::QTOOL_ISA
