// Matrix products: blocks of rows stay in the second-level cache, a panel of columns is unpacked once for each.
//
// Needs Lanes, finish() and Tiles:
//   kRows, kBlocks      rows and blocks of 16 columns of one call of multiply()
//   wide(gemm)          whether operands take 16 bits instead of 8
//   widen_row, widen_slice
//   multiply            sums of a tile of rows and columns
//   kVector, vector_row, multiply_vector    a path for one row that needs no panel
#pragma once

#include "gather.h"
#include "runs.h"
#include "unpack.h"

namespace qtool::QTOOL_ISA {

constexpr size_t kLeastRows = 96;
constexpr size_t kLeftBytes = size_t{1} << 17;
constexpr size_t kAlign = 64;
// Rows that are finished at once: the constants of their columns are loaded once for all of them.
constexpr size_t kTileRows = 4 * Tiles::kRows;

struct GemmLayout {
  size_t element, depth, row_bytes, rows;
  size_t panel_bytes;  // of 16 columns
  size_t row_at, sums_at, panel_at, tile_at, bytes;

  GemmLayout(const Gemm& g, size_t wanted) {
    element = Tiles::wide(g) ? 2 : 1;
    depth = round_up(g.k, kDepth);
    row_bytes = depth * element;
    const size_t fitting = round_up(kLeftBytes / row_bytes + 1, Tiles::kRows);
    const size_t most = fitting < kLeastRows ? kLeastRows : fitting;
    rows = wanted < most ? wanted : most;
    row_at = round_up(rows * row_bytes, kAlign);
    sums_at = row_at + round_up(depth, kAlign);
    panel_at = sums_at + round_up(rows * sizeof(int32_t), kAlign);
    const size_t panel_depth = g.runs == nullptr ? depth : g.runs->slices * kDepth;
    panel_bytes = kColumns * panel_depth * element;
    tile_at = panel_at + Tiles::kBlocks * panel_bytes;
    bytes = tile_at + kTileRows * Tiles::kBlocks * kColumns * sizeof(int32_t);
  }
};

inline size_t gemm_scratch(const Gemm& g, size_t rows) { return GemmLayout(g, rows).bytes; }

struct LeftBlock {
  const uint8_t* data;
  size_t stride;
};

// Brings rows into the form that multiply() reads; rows that already have it stay where they are.
inline LeftBlock load_rows(const Gemm& g, const GemmLayout& at, const Rows& source, size_t first, size_t count,
                           uint8_t* scratch) {
  int32_t* sums = reinterpret_cast<int32_t*>(scratch + at.sums_at);
  const bool summed = g.rows.slope != nullptr;
  if (source.window == nullptr && at.element == 1 && at.depth == g.k) {
    const uint8_t* data = source.data + first * source.stride + source.first_channel;
    for (size_t i = 0; summed && i < count; ++i) sums[i] = byte_sum(data + i * source.stride, g.k);
    return {data, source.stride};
  }
  for (size_t i = 0; i < count; ++i) {
    uint8_t* row = at.element == 1 ? scratch + i * at.row_bytes : scratch + at.row_at;
    gather_row(source, first + i, g.k, at.depth, row);
    if (summed) sums[i] = byte_sum(row, g.k);
    if (at.element == 2) Tiles::widen_row(row, at.depth, scratch + i * at.row_bytes);
  }
  return {scratch, at.row_bytes};
}

inline void load_panel(const Gemm& g, const GemmLayout& at, const uint8_t* weights, uint8_t* panel) {
  if (g.runs != nullptr) return load_runs(g, at.element, weights, panel);
  const uint8_t centre = static_cast<uint8_t>(1 << (g.bits - 1));
  if (at.element == 1) return with_bits(g.bits, UnpackSlices{weights, g.slices(), centre, panel});
  uint8_t codes[kSliceCodes];
  const size_t slice_bytes = static_cast<size_t>(g.bits) * kLine;
  for (size_t i = 0; i < g.slices(); ++i) {
    with_bits(g.bits, UnpackSlices{weights + i * slice_bytes, 1, centre, codes});
    Tiles::widen_slice(codes, panel + i * 2 * kSliceCodes);
  }
}

// Where the code or value of a row and a column of a group goes.
inline void* out_at(const Gemm& g, void* out, size_t out_stride, size_t row, size_t channel) {
  return static_cast<uint8_t*>(out) + (row * out_stride + channel) * g.epilogue->element;
}

inline void multiply_vector(const Gemm& g, size_t group, const Rows& source, const Region& region, uint8_t* scratch,
                            void* out, size_t out_stride) {
  const GemmLayout at(g, 1);
  uint8_t* row = scratch + at.row_at;
  uint8_t* spread = scratch + at.panel_at;
  gather_row(source, region.row_begin, g.k, at.depth, row);
  const int32_t row_sum = byte_sum(row, g.k);
  // 128 is the zero of this path; the codes that fill up a slice are not always.
  memset(row + g.k, 0x80, at.depth - g.k);
  Tiles::vector_row(g, row, at.depth, spread);
  // Behind the row, of two bytes for each activation at most; a panel is longer than both.
  int32_t* run_sums = reinterpret_cast<int32_t*>(spread + 2 * at.depth);
  if (g.runs != nullptr) run_row_sums(*g.runs, row, run_sums);
  alignas(64) int32_t sums[kColumns];
  for (size_t block = region.block_begin; block < region.block_end; ++block) {
    const uint8_t* weights = g.weights + group * g.group_bytes() + block * g.block_bytes();
    if (g.runs != nullptr) {
      multiply_vector_runs(g, weights, block, spread, run_sums, sums);
    } else {
      Tiles::multiply_vector(g, weights, spread, sums);
    }
    const size_t column = block * kColumns, channel = group * g.n + column;
    const size_t count = g.n - column < kColumns ? g.n - column : kColumns;
    finish(*g.epilogue, g.vector, channel,
           Tile{sums, kColumns, 1, count, &row_sum, out_at(g, out, out_stride, region.row_begin, channel), 0});
  }
}

inline void gemm(const Gemm& g, size_t group, const Rows& source, const Region& region, void* scratch_memory,
                 void* out, size_t out_stride) {
  uint8_t* scratch = static_cast<uint8_t*>(scratch_memory);
  const size_t rows = region.row_end - region.row_begin;
  const bool sliced = g.runs == nullptr || g.runs->whole_slices;
  if (Tiles::kVector && rows == 1 && sliced) return multiply_vector(g, group, source, region, scratch, out, out_stride);
  const GemmLayout at(g, rows);
  const int32_t* row_sums = reinterpret_cast<const int32_t*>(scratch + at.sums_at);
  int32_t* tile = reinterpret_cast<int32_t*>(scratch + at.tile_at);
  uint8_t* panel = scratch + at.panel_at;
  const uint8_t* weights = g.weights + group * g.group_bytes();
  for (size_t first = region.row_begin; first < region.row_end; first += at.rows) {
    const size_t height = region.row_end - first < at.rows ? region.row_end - first : at.rows;
    const LeftBlock left = load_rows(g, at, source, first, height, scratch);
    for (size_t block = region.block_begin; block < region.block_end; block += Tiles::kBlocks) {
      const size_t left_over = region.block_end - block;
      const size_t blocks = left_over < Tiles::kBlocks ? left_over : Tiles::kBlocks;
      for (size_t i = 0; i < blocks; ++i) {
        load_panel(g, at, weights + (block + i) * g.block_bytes(), panel + i * at.panel_bytes);
      }
      const size_t column = block * kColumns, channel = group * g.n + column;
      const size_t columns = g.n - column < blocks * kColumns ? g.n - column : blocks * kColumns;
      for (size_t row = 0; row < height; row += kTileRows) {
        const size_t count = height - row < kTileRows ? height - row : kTileRows;
        for (size_t i = 0; i < count; i += Tiles::kRows) {
          const size_t some = count - i < Tiles::kRows ? count - i : Tiles::kRows;
          const uint8_t* rows_at = left.data + (row + i) * left.stride;
          int32_t* sums = tile + i * blocks * kColumns;
          if (g.runs != nullptr) {
            multiply_runs(g, at.element, some, block, blocks, rows_at, left.stride, panel, at.panel_bytes, sums);
          } else {
            Tiles::multiply(g, some, blocks, rows_at, left.stride, panel, at.panel_bytes, sums);
          }
        }
        finish(*g.epilogue, g.rows, channel,
               Tile{tile, blocks * kColumns, count, columns, row_sums + row,
                    out_at(g, out, out_stride, first + row, channel), out_stride});
      }
    }
  }
}

}  // namespace qtool::QTOOL_ISA
