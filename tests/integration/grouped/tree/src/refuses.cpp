#include <vector>
#include <string>
template <class T> struct Named { static const char* name() { return "any"; } };
template <> struct Named<long> { static const char* name() { return "long"; } };
const char* refuses() { return Named<long>::name(); }
