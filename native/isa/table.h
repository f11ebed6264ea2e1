// The functions of one instruction set as a table.
#pragma once

#include "combine.h"
#include "depthwise.h"
#include "elementwise.h"
#include "gemm.h"
#include "matmul.h"
#include "normalization.h"
#include "pooling.h"
#include "recurrent.h"

namespace qtool::QTOOL_ISA {

constexpr Kernels table(const char* name) {
  return {name,     gemm_scratch, gemm,         column_sums, depthwise_scratch, depthwise,
          max_pool, counts_known, average_pool, sum,         product,           combine,
          matmul_scratch, matmul, softmax, layer_norm, copy, reset, step};
}

}  // namespace qtool::QTOOL_ISA
