#include "src/lib.h"
static int helper() { return static_cast<int>(std::string("one").size()); }
int static_one() { return helper(); }
