// Products of bytes where the machine has an instruction for four of them (vpdpbusd). Needs Lanes,
// dot() and kDotBlocks.
#pragma once

#include "ahead.h"
#include "unpack.h"

namespace qtool::QTOOL_ISA {

constexpr size_t kParts = kLine / Lanes::kBytes;
// Independent sums of a vector product, so that the latency of the instruction does not limit it.
constexpr size_t kChains = 4 / kParts;

template <int kCount, int kWide>
inline void multiply_dots(const uint8_t* left, size_t stride, const uint8_t* panel, size_t panel_bytes, size_t slices,
                          int32_t* sums) {
  constexpr size_t kVectors = kWide * kParts;
  Lanes total[kCount][kVectors];
  for (int row = 0; row < kCount; ++row) {
    for (size_t i = 0; i < kVectors; ++i) total[row][i] = Lanes::zero();
  }
  for (size_t step = 0; step < slices * kTiles; ++step, left += 4, panel += kLine) {
    Lanes right[kVectors];
#pragma GCC unroll 4
    for (size_t i = 0; i < kVectors; ++i) {
      right[i] = Lanes::load(panel + i / kParts * panel_bytes + i % kParts * Lanes::kBytes);
    }
#pragma GCC unroll 6
    for (int row = 0; row < kCount; ++row) {
      const Lanes a = Lanes::four(left + row * stride);
#pragma GCC unroll 4
      for (size_t i = 0; i < kVectors; ++i) total[row][i] = dot(total[row][i], a, right[i]);
    }
  }
  uint8_t* out = reinterpret_cast<uint8_t*>(sums);
  for (int row = 0; row < kCount; ++row) {
    for (size_t i = 0; i < kVectors; ++i, out += Lanes::kBytes) total[row][i].store(out);
  }
}

template <int kBits>
struct VectorDots {
  Lanes total[kChains][kParts];

  template <int kTile = 0>
  void add_tiles(const uint8_t* slice, const uint8_t* row) {
    if constexpr (kTile < kTiles) {
      const Lanes a = Lanes::four(row + 4 * kTile);
      for (size_t part = 0; part < kParts; ++part) {
        Lanes& sum = total[kTile % kChains][part];
        sum = dot(sum, tile_codes<kBits, kTile>(slice, part * Lanes::kBytes), a);
      }
      add_tiles<kTile + 1>(slice, row);
    }
  }
};

struct VectorKernel {
  const uint8_t* weights;
  const uint8_t* row;
  size_t slices;
  int32_t* sums;

  template <int kBits>
  void run() {
    VectorDots<kBits> dots;
    for (size_t i = 0; i < kChains * kParts; ++i) dots.total[i / kParts][i % kParts] = Lanes::zero();
    for (size_t i = 0; i < slices; ++i) {
      ask_ahead<kBits>(weights + i * kBits * kLine);
      dots.add_tiles(weights + i * kBits * kLine, row + i * kDepth);
    }
    for (size_t i = 0; i < kColumns; ++i) sums[i] = 0;
    for (size_t chain = 0; chain < kChains; ++chain) {
      int32_t chain_sums[kColumns];
      for (size_t part = 0; part < kParts; ++part) {
        dots.total[chain][part].store(reinterpret_cast<uint8_t*>(chain_sums) + part * Lanes::kBytes);
      }
      for (size_t i = 0; i < kColumns; ++i) {
        sums[i] = static_cast<int32_t>(static_cast<uint32_t>(sums[i]) + static_cast<uint32_t>(chain_sums[i]));
      }
    }
  }
};

struct Tiles {
  static constexpr size_t kRows = 6;
  static constexpr size_t kBlocks = kDotBlocks;
  static constexpr bool kVector = true;

  static bool wide(const Gemm&) { return false; }
  static void widen_row(const uint8_t*, size_t, uint8_t*) {}
  static void widen_slice(const uint8_t*, uint8_t*) {}

  template <int kCount, int kWide = 1>
  static void multiply_blocks(size_t blocks, const Gemm& g, const uint8_t* left, size_t stride, const uint8_t* panel,
                              size_t panel_bytes, int32_t* sums) {
    if constexpr (kWide < kBlocks) {
      if (blocks > kWide) {
        return multiply_blocks<kCount, kWide + 1>(blocks, g, left, stride, panel, panel_bytes, sums);
      }
    }
    multiply_dots<kCount, kWide>(left, stride, panel, panel_bytes, g.slices(), sums);
  }

  static void multiply(const Gemm& g, size_t rows, size_t blocks, const uint8_t* left, size_t stride,
                       const uint8_t* panel, size_t panel_bytes, int32_t* sums) {
    switch (rows) {
      case 1: return multiply_blocks<1>(blocks, g, left, stride, panel, panel_bytes, sums);
      case 2: return multiply_blocks<2>(blocks, g, left, stride, panel, panel_bytes, sums);
      case 3: return multiply_blocks<3>(blocks, g, left, stride, panel, panel_bytes, sums);
      case 4: return multiply_blocks<4>(blocks, g, left, stride, panel, panel_bytes, sums);
      case 5: return multiply_blocks<5>(blocks, g, left, stride, panel, panel_bytes, sums);
      default: return multiply_blocks<6>(blocks, g, left, stride, panel, panel_bytes, sums);
    }
  }

  static size_t vector_element(const Gemm&) { return 1; }
  static void vector_row(const Gemm&, const uint8_t* row, size_t depth, uint8_t* out) {
    for (size_t i = 0; i < depth; ++i) out[i] = row[i] ^ 0x80;
  }

  static void multiply_vector(const Gemm& g, const uint8_t* weights, const uint8_t* row, int32_t* sums) {
    with_bits(g.bits, VectorKernel{weights, row, g.slices(), sums});
  }
};

}  // namespace qtool::QTOOL_ISA
