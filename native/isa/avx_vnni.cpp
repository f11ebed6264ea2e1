// x86-64 with AVX-VNNI: dot products of bytes in 32-byte registers.
#define QTOOL_ISA avx_vnni

#include "isa.h"
#include "lanes_ymm.h"

namespace qtool::avx_vnni {

constexpr size_t kDotBlocks = 1;

inline Lanes dot(const Lanes& sums, const Lanes& bytes, const Lanes& signed_bytes) {
  return {_mm256_dpbusd_avx_epi32(sums.bits, bytes.bits, signed_bytes.bits)};
}

}  // namespace qtool::avx_vnni

// What follows builds on the above.
#include "depthwise_ymm.h"
#include "finish_ymm.h"
#include "tiles_dot.h"

#include "table.h"

namespace qtool {

const Kernels kAvxVnni = avx_vnni::table("avx_vnni");

}  // namespace qtool
