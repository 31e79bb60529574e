#include "area.h"

extern "C" int is_name(const char* text) { return std::regex_match(std::string(text), std::regex("[a-z]+( [a-z]+)*")); }
