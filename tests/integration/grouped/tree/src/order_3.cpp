#include "src/lib.h"
static bool registered_3 = (order() += "3", true);
bool order_3() { return registered_3; }
