// Any machine with a C++17 compiler.
#define QTOOL_ISA portable

#include "isa.h"
#include "lanes_portable.h"

// What follows builds on the above.
#include "depthwise_portable.h"
#include "finish_portable.h"
#include "tiles_portable.h"

#include "table.h"

namespace qtool {

const Kernels kPortable = portable::table("portable");

}  // namespace qtool
