#include "src/lib.h"
