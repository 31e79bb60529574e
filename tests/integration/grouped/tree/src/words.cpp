#include "src/lib.h"
static std::map<int, std::string>& table() { static std::map<int, std::string> t; return t; }
static bool registered = (table()[1] = "registered", true);
std::vector<std::string> words() { return {table()[1], registered ? "yes" : "no"}; }
