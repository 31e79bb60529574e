#include "src/lib.h"
static int twice() { return 1; }
static bool registered_1 = (order() += "1", twice() > 0);
bool order_1() { return registered_1; }
