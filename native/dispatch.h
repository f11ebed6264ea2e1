// Which of the compiled instruction sets to use.
#pragma once

#include <string>
#include <vector>

#include "plan.h"

namespace qtool {

// Tables that run on this machine, best first.
std::vector<const Kernels*> supported();

// The table of this name, or the best for "auto"; null when this build or machine lacks it.
const Kernels* find_kernels(const std::string& name);

}  // namespace qtool
