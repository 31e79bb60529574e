#include "area.h"

extern "C" double volume(double width, double height, double depth) { return product({width, height, depth}); }
