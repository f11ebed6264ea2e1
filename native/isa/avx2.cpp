// x86-64 with AVX2.
#define QTOOL_ISA avx2

#include "isa.h"
#include "lanes_ymm.h"

// What follows builds on the above.
#include "depthwise_ymm.h"
#include "finish_ymm.h"
#include "vector_avx2.h"

#include "table.h"

namespace qtool {

const Kernels kAvx2 = avx2::table("avx2");

}  // namespace qtool
