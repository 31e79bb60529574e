#pragma once
#include <algorithm>
#include <numeric>
#include <regex>
#include <string>
#include <vector>

double product(const std::vector<double>& sides);
