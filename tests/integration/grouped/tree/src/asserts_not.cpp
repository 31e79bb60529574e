#include "src/guarded.h"
#include "src/lib.h"
int asserts_not() { return guarded(); }
