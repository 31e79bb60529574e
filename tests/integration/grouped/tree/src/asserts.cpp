#define TORCH_ASSERT_ONLY_METHOD_OPERATORS
#include "src/lib.h"
int asserts() { return 2; }
