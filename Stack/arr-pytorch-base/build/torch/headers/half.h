// CUB compares __half in kernels that nobody runs, and PyTorch forbids __half's own operators (__CUDA_NO_HALF_OPERATORS__). nvcc looks at
// them only when a kernel is made; clang earlier. Templates for exactly __half, or c10::Half's own would be ambiguous.
#pragma once
#include <cuda_fp16.h>
#include <type_traits>

#define ARRSTACK_COMPARE(op)                                                              \
  template <class T, class = std::enable_if_t<std::is_same_v<T, __half>>>                 \
  __host__ __device__ inline bool operator op(T const& left, T const& right) {            \
    return __half2float(left) op __half2float(right);                                     \
  }
ARRSTACK_COMPARE(==)
ARRSTACK_COMPARE(!=)
ARRSTACK_COMPARE(<)
ARRSTACK_COMPARE(>)
ARRSTACK_COMPARE(<=)
ARRSTACK_COMPARE(>=)
#undef ARRSTACK_COMPARE
