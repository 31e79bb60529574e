#include "src/lib.h"
#include "src/forbidden.h"
