// From bit lines to codes: a slice of 512 codes of b bits is b lines of 64 bytes.
//
// The width is split into powers of two, widest first; part p of a code lies in p lines, and one line holds
// that part of 8 / p tiles. Needs Lanes.
#pragma once

#include "plan.h"

namespace qtool::QTOOL_ISA {

constexpr int kTiles = 8;

constexpr int widest_part(int bits) { return bits >= 8 ? 8 : bits >= 4 ? 4 : bits >= 2 ? 2 : 1; }

// Codes of one tile, lanes from `first` on; kDone bits come from earlier parts.
template <int kBits, int kTile, int kDone = 0>
inline Lanes tile_codes(const uint8_t* slice, size_t first) {
  if constexpr (kDone == kBits) {
    return Lanes::zero();
  } else {
    constexpr int kWidth = widest_part(kBits - kDone);
    constexpr int kPerLine = 8 / kWidth;
    constexpr int kLineIndex = kDone + kTile / kPerLine;
    constexpr int kFrom = kTile % kPerLine * kWidth;
    constexpr uint8_t kMask = static_cast<uint8_t>(((1 << kWidth) - 1) << kDone);
    Lanes part = Lanes::load(slice + kLineIndex * kLine + first);
    if constexpr (kWidth < 8) part = part.template shifted<kDone - kFrom>().masked(kMask);
    if constexpr (kDone + kWidth == kBits && kDone == 0) return part;
    return part.merged(tile_codes<kBits, kTile, kDone + kWidth>(slice, first));
  }
}

template <int kBits, int kTile = 0>
inline void unpack_tiles(const uint8_t* slice, uint8_t centre, uint8_t* out) {
  if constexpr (kTile < kTiles) {
    for (size_t first = 0; first < kLine; first += Lanes::kBytes) {
      tile_codes<kBits, kTile>(slice, first).less(centre).store(out + kTile * kLine + first);
    }
    unpack_tiles<kBits, kTile + 1>(slice, centre, out);
  }
}

// Calls body.run<bits>().
template <class Body>
inline void with_bits(int bits, Body&& body) {
  switch (bits) {
    case 1: return body.template run<1>();
    case 2: return body.template run<2>();
    case 3: return body.template run<3>();
    case 4: return body.template run<4>();
    case 5: return body.template run<5>();
    case 6: return body.template run<6>();
    case 7: return body.template run<7>();
    default: return body.template run<8>();
  }
}

// Writes 512 bytes, code - centre, for each of `slices` slices; `step` bytes from one to the next.
struct UnpackSlices {
  const uint8_t* packed;
  size_t slices;
  uint8_t centre;
  uint8_t* out;
  size_t step = kSliceCodes;

  template <int kBits>
  void run() {
    for (size_t i = 0; i < slices; ++i) unpack_tiles<kBits>(packed + i * kBits * kLine, centre, out + i * step);
  }
};

// Sums and sums of magnitudes of the lanes of all tiles: four lanes are one column.
struct LaneSums {
  int32_t zero[kLine], sum[kLine] = {}, magnitude[kLine] = {};

  // Columns beyond the matrix count from 0; nobody reads their sums.
  LaneSums(const int32_t* zeros, size_t columns) {
    for (size_t lane = 0; lane < kLine; ++lane) zero[lane] = lane / 4 < columns ? zeros[lane / 4] : 0;
  }

  void add(const uint8_t* tile) {
    for (size_t lane = 0; lane < kLine; ++lane) {
      const int32_t value = tile[lane] - zero[lane];
      sum[lane] += value;
      magnitude[lane] += value < 0 ? -value : value;
    }
  }

  // A tile of fewer than four rows.
  void add(const uint8_t* tile, size_t rows) {
    for (size_t lane = 0; lane < kLine; ++lane) {
      if (lane % 4 >= rows) continue;
      const int32_t value = tile[lane] - zero[lane];
      sum[lane] += value;
      magnitude[lane] += value < 0 ? -value : value;
    }
  }
};

// Sums of code - zero and of its magnitude, for every column of a packed matrix.
inline void column_sums(const uint8_t* weights, int32_t bits, size_t n, size_t k, const int32_t* zero, int64_t* sum,
                        int64_t* magnitude) {
  const size_t slices = round_up(k, kDepth) / kDepth;
  const size_t slice_bytes = static_cast<size_t>(bits) * kLine;
  uint8_t codes[kSliceCodes];
  for (size_t first = 0; first < n; first += kColumns) {
    const size_t columns = n - first < kColumns ? n - first : kColumns;
    LaneSums lanes(zero + first, columns);
    for (size_t slice = 0; slice < slices; ++slice, weights += slice_bytes) {
      with_bits(bits, UnpackSlices{weights, 1, 0, codes});
      for (size_t row = slice * kDepth, tile = 0; tile < kTiles && row < k; ++tile, row += 4) {
        k - row < 4 ? lanes.add(codes + tile * kLine, k - row) : lanes.add(codes + tile * kLine);
      }
    }
    for (size_t column = 0; column < columns; ++column) {
      sum[first + column] = magnitude[first + column] = 0;
      for (size_t lane = 4 * column; lane < 4 * column + 4; ++lane) {
        sum[first + column] += lanes.sum[lane];
        magnitude[first + column] += lanes.magnitude[lane];
      }
    }
  }
}

}  // namespace qtool::QTOOL_ISA
