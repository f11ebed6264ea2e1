// The tables of kernels that a build may hold.
//
// The headers of this folder are compiled once for each instruction set, in a namespace of its name and with flags of
// its own. They call functions of C only: a template or inline function of the C++ library that is compiled here
// could be linked into code that runs on every machine.
#pragma once

#include "plan.h"

namespace qtool {

extern const Kernels kPortable;
extern const Kernels kAvx2;
extern const Kernels kAvxVnni;
extern const Kernels kAvx512Vnni;

}  // namespace qtool
