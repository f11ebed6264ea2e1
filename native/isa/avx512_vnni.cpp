// x86-64 with AVX512-VNNI: dot products of bytes in 64-byte registers.
#define QTOOL_ISA avx512_vnni

#include "isa.h"
#include "lanes_zmm.h"

namespace qtool::avx512_vnni {

constexpr size_t kDotBlocks = 4;

inline Lanes dot(const Lanes& sums, const Lanes& bytes, const Lanes& signed_bytes) {
  return {_mm512_dpbusd_epi32(sums.bits, bytes.bits, signed_bytes.bits)};
}

}  // namespace qtool::avx512_vnni

// What follows builds on the above.
#include "depthwise_ymm.h"
#include "finish_ymm.h"
#include "tiles_dot.h"

#include "table.h"

namespace qtool {

const Kernels kAvx512Vnni = avx512_vnni::table("avx512_vnni");

}  // namespace qtool
