// The Python module qtool.runtime.native._kernels.
#include "layers.h"

NB_MODULE(_kernels, m) {
  m.doc() = "Integer kernels in C++; qtool.runtime.native prepares what they are given.";
  qtool::bind_layers(m);
  qtool::bind_rows(m);
  qtool::bind_recurrent(m);
  qtool::bind_calls(m);
  qtool::bind_boundary(m);
}
