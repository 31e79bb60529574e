#pragma once
#include <map>
#include <string>
#include <vector>
template <class T> struct Named { static const char* name() { return "any"; } };
// Makes clang instantiate it where the header is precompiled.
inline const char* name_of_long() { return Named<long>::name(); }
std::vector<std::string> words();
// What registers when the library is loaded, in the order in which it did.
std::string& order();
int generated();
