// Products of bytes in AVX2, which has none of four bytes that cannot saturate.
//
// Narrow weights: vpmaddubsw adds pairs of products in 16 bits, and several such sums fit 16 bits before they are
// widened: half the multiplications of widening each time. Wide weights: vpmaddwd on operands of 16 bits.
#pragma once

#include <immintrin.h>

#include "unpack.h"

namespace qtool::QTOOL_ISA {

// Tiles of 4 k whose sums of 8 bits x 8 bits fit int16 together; 0 when not even two products do.
inline int tiles_in_16_bits(int32_t left_max, int32_t right_max) {
  const int32_t pair = 2 * left_max * right_max;
  return pair * 8 <= INT16_MAX ? 8 : pair * 4 <= INT16_MAX ? 4 : pair * 2 <= INT16_MAX ? 2 : pair <= INT16_MAX;
}

// Keeps a compiler from starting all rows at once: there are no registers left for that.
inline void finish_row(__m256i& low, __m256i& high) { asm volatile("" : "+x"(low), "+x"(high)); }

template <int kCount>
inline void store_sums(const __m256i (&total)[kCount][2], int32_t* sums) {
  __m256i* out = reinterpret_cast<__m256i*>(sums);
#pragma GCC unroll 6
  for (int row = 0; row < kCount; ++row) {
    _mm256_store_si256(out + 2 * row, total[row][0]);
    _mm256_store_si256(out + 2 * row + 1, total[row][1]);
  }
}

// The three loops are functions of their own because they need every register there is.
template <int kCount, int kSteps>
[[gnu::noinline]] void multiply_bytes(const uint8_t* left, size_t stride, const uint8_t* panel, size_t slices, int32_t* sums) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i* total = reinterpret_cast<__m256i*>(sums);
  for (int i = 0; i < 2 * kCount; ++i) _mm256_store_si256(total + i, _mm256_setzero_si256());
  for (size_t group = 0; group < slices * kTiles / kSteps; ++group) {
    __m256i part[kCount][2];
#pragma GCC unroll 6
    for (int row = 0; row < kCount; ++row) part[row][0] = part[row][1] = _mm256_setzero_si256();
#pragma GCC unroll 1
    for (int step = 0; step < kSteps; ++step, left += 4, panel += kLine) {
      const __m256i low = Lanes::load(panel).bits, high = Lanes::load(panel + 32).bits;
#pragma GCC unroll 6
      for (int row = 0; row < kCount; ++row) {
        const __m256i a = Lanes::four(left + row * stride).bits;
        part[row][0] = _mm256_add_epi16(part[row][0], _mm256_maddubs_epi16(a, low));
        part[row][1] = _mm256_add_epi16(part[row][1], _mm256_maddubs_epi16(a, high));
        finish_row(part[row][0], part[row][1]);
      }
    }
#pragma GCC unroll 6
    for (int row = 0; row < kCount; ++row) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        __m256i* at = total + 2 * row + half;
        _mm256_store_si256(at, _mm256_add_epi32(_mm256_load_si256(at), _mm256_madd_epi16(part[row][half], ones)));
      }
    }
  }
}

// A pair of products alone fits int16.
template <int kCount>
[[gnu::noinline]] void multiply_pairs(const uint8_t* left, size_t stride, const uint8_t* panel, size_t slices, int32_t* sums) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i total[kCount][2];
#pragma GCC unroll 6
  for (int row = 0; row < kCount; ++row) total[row][0] = total[row][1] = _mm256_setzero_si256();
  for (size_t step = 0; step < slices * kTiles; ++step, left += 4, panel += kLine) {
    const __m256i low = Lanes::load(panel).bits, high = Lanes::load(panel + 32).bits;
#pragma GCC unroll 6
    for (int row = 0; row < kCount; ++row) {
      const __m256i a = Lanes::four(left + row * stride).bits;
      const __m256i first = _mm256_madd_epi16(_mm256_maddubs_epi16(a, low), ones);
      const __m256i second = _mm256_madd_epi16(_mm256_maddubs_epi16(a, high), ones);
      total[row][0] = _mm256_add_epi32(total[row][0], first);
      total[row][1] = _mm256_add_epi32(total[row][1], second);
      finish_row(total[row][0], total[row][1]);
    }
  }
  store_sums<kCount>(total, sums);
}

template <int kCount>
[[gnu::noinline]] void multiply_words(const uint8_t* left, size_t stride, const uint8_t* panel, size_t slices, int32_t* sums) {
  __m256i total[kCount][2];
#pragma GCC unroll 6
  for (int row = 0; row < kCount; ++row) total[row][0] = total[row][1] = _mm256_setzero_si256();
  for (size_t step = 0; step < slices * kTiles * 2; ++step, left += 4, panel += kLine) {
    const __m256i low = Lanes::load(panel).bits, high = Lanes::load(panel + 32).bits;
#pragma GCC unroll 6
    for (int row = 0; row < kCount; ++row) {
      const __m256i a = Lanes::four(left + row * stride).bits;
      total[row][0] = _mm256_add_epi32(total[row][0], _mm256_madd_epi16(a, low));
      total[row][1] = _mm256_add_epi32(total[row][1], _mm256_madd_epi16(a, high));
      finish_row(total[row][0], total[row][1]);
    }
  }
  store_sums<kCount>(total, sums);
}

// Even and odd bytes of every four as two pairs of 16 bits, in this order.
inline void store_pairs(uint8_t* to, __m256i even, __m256i odd) {
  const __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
  __m256i* out = reinterpret_cast<__m256i*>(to);
  _mm256_storeu_si256(out, _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256(out + 1, _mm256_permute2x128_si256(low, high, 0x31));
}

struct Tiles {
  static constexpr size_t kRows = 6;
  static constexpr size_t kBlocks = 1;
  static constexpr bool kVector = true;

  static int steps(const Gemm& g) { return tiles_in_16_bits(g.act_max, 1 << (g.bits - 1)); }

  static bool wide(const Gemm& g) { return steps(g) == 0; }

  static void widen_row(const uint8_t* row, size_t depth, uint8_t* out) {
    for (size_t i = 0; i < depth; i += 32) {
      const __m256i bytes = Lanes::load(row + i).bits;
      store_pairs(out + 2 * i, _mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(bytes, 8));
    }
  }

  static void widen_slice(const uint8_t* codes, uint8_t* out) {
    for (size_t i = 0; i < kSliceCodes; i += kLine, out += 2 * kLine) {
      for (size_t half = 0; half < 2; ++half) {
        const __m256i bytes = Lanes::load(codes + i + 32 * half).bits;
        __m256i* even = reinterpret_cast<__m256i*>(out + 32 * half);
        _mm256_storeu_si256(even, _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8));
        _mm256_storeu_si256(even + 2, _mm256_srai_epi16(bytes, 8));
      }
    }
  }

  template <int kCount>
  static void multiply_rows(const Gemm& g, const uint8_t* left, size_t stride, const uint8_t* panel, int32_t* sums) {
    switch (steps(g)) {
      case 8: return multiply_bytes<kCount, 8>(left, stride, panel, g.slices(), sums);
      case 4: return multiply_bytes<kCount, 4>(left, stride, panel, g.slices(), sums);
      case 2: return multiply_bytes<kCount, 2>(left, stride, panel, g.slices(), sums);
      case 1: return multiply_pairs<kCount>(left, stride, panel, g.slices(), sums);
      default: return multiply_words<kCount>(left, stride, panel, g.slices(), sums);
    }
  }

  static void multiply(const Gemm& g, size_t rows, size_t, const uint8_t* left, size_t stride, const uint8_t* panel,
                       size_t, int32_t* sums) {
    switch (rows) {
      case 1: return multiply_rows<1>(g, left, stride, panel, sums);
      case 2: return multiply_rows<2>(g, left, stride, panel, sums);
      case 3: return multiply_rows<3>(g, left, stride, panel, sums);
      case 4: return multiply_rows<4>(g, left, stride, panel, sums);
      case 5: return multiply_rows<5>(g, left, stride, panel, sums);
      default: return multiply_rows<6>(g, left, stride, panel, sums);
    }
  }

  // Bytes of an activation in the row that vector_row() makes.
  static size_t vector_element(const Gemm& g) { return g.bits == 8 ? 2 : 1; }
  static void vector_row(const Gemm& g, const uint8_t* row, size_t depth, uint8_t* out);
  static void multiply_vector(const Gemm& g, const uint8_t* weights, const uint8_t* row, int32_t* sums);
};

}  // namespace qtool::QTOOL_ISA
