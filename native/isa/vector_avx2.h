// One row times packed weights in AVX2: codes go from their bit lines through registers into products.
//
// Codes are the unsigned operand of vpmaddubsw and activations less 128 the signed one, so that codes are
// multiplied as they are stored; sums of codes of all widths below 8 bits stay within int16.
#pragma once

#include "ahead.h"
#include "tiles_avx2.h"

namespace qtool::QTOOL_ISA {

template <int kBits>
struct VectorProduct {
  static constexpr int kSteps = kBits <= 4 ? 8 : kBits == 5 ? 4 : kBits == 6 ? 2 : 1;

  __m256i total[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  __m256i part[2];

  template <int kTile = 0>
  void add_tiles(const uint8_t* slice, const uint8_t* row) {
    if constexpr (kTile < kTiles) {
      add_tile<kTile>(slice, row);
      add_tiles<kTile + 1>(slice, row);
    }
  }

  template <int kTile>
  void add_tile(const uint8_t* slice, const uint8_t* row) {
    for (int half = 0; half < 2; ++half) {
      const __m256i codes = tile_codes<kBits, kTile>(slice, 32 * half).bits;
      if constexpr (kBits == 8) {
        const __m256i even = _mm256_and_si256(codes, _mm256_set1_epi16(0xff)), odd = _mm256_srli_epi16(codes, 8);
        add(half, _mm256_madd_epi16(even, Lanes::four(row + 8 * kTile).bits));
        add(half, _mm256_madd_epi16(odd, Lanes::four(row + 8 * kTile + 4).bits));
      } else {
        const __m256i product = _mm256_maddubs_epi16(codes, Lanes::four(row + 4 * kTile).bits);
        part[half] = kTile % kSteps == 0 ? product : _mm256_add_epi16(part[half], product);
        if constexpr ((kTile + 1) % kSteps == 0) add(half, _mm256_madd_epi16(part[half], _mm256_set1_epi16(1)));
      }
    }
  }

  void add(int half, __m256i sums) { total[half] = _mm256_add_epi32(total[half], sums); }
};

struct VectorKernel {
  const uint8_t* weights;
  const uint8_t* row;
  size_t slices;
  int32_t* sums;

  template <int kBits>
  void run() {
    constexpr size_t kRowBytes = kBits == 8 ? 2 * kDepth : kDepth;
    VectorProduct<kBits> product;
    for (size_t i = 0; i < slices; ++i) {
      const uint8_t* slice = weights + i * kBits * kLine;
      ask_ahead<kBits>(slice);
      product.add_tiles(slice, row + i * kRowBytes);
    }
    for (int half = 0; half < 2; ++half) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(sums) + half, product.total[half]);
    }
  }
};

inline void Tiles::vector_row(const Gemm& g, const uint8_t* row, size_t depth, uint8_t* out) {
  const __m256i centre = _mm256_set1_epi8(static_cast<char>(0x80));
  for (size_t i = 0; i < depth; i += 32) {
    const __m256i bytes = _mm256_xor_si256(Lanes::load(row + i).bits, centre);
    if (g.bits == 8) {
      store_pairs(out + 2 * i, _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), _mm256_srai_epi16(bytes, 8));
    } else {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), bytes);
    }
  }
}

inline void Tiles::multiply_vector(const Gemm& g, const uint8_t* weights, const uint8_t* row, int32_t* sums) {
  with_bits(g.bits, VectorKernel{weights, row, g.slices(), sums});
}

}  // namespace qtool::QTOOL_ISA
