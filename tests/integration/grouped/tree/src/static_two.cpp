#include "src/lib.h"
static int helper() { return static_cast<int>(std::string("four").size()); }
int static_two() { return helper(); }
