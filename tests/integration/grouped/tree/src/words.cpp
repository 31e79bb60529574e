#include "src/lib.h"
static std::map<int, std::string>& table() { static std::map<int, std::string> t; return t; }
std::string& order() { static std::string names; return names; }
static bool registered = (table()[1] = "registered", order() += "w", true);
std::vector<std::string> words() { return {table()[1], registered ? "yes" : "no"}; }
