#include "src/lib.h"
int strict() { return 5; }
