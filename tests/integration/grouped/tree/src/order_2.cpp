#include "src/lib.h"
static int twice() { return 2; }
static bool registered_2 = (order() += "2", twice() > 0);
bool order_2() { return registered_2; }
