#pragma once
// As in PyTorch: a kernel file defines a member for its CPU capability, once.
#define TORCH_API __attribute__((visibility("default")))
namespace at::native {
template <class F, class T> struct DispatchStub { static F DEFAULT, AVX512; };
#define DECLARE_DISPATCH(F, name) struct name##_DECLARE_DISPATCH_type : DispatchStub<F, name##_DECLARE_DISPATCH_type> { using FnPtr = F; }; int name();
#define REGISTER_ARCH_DISPATCH(name, arch, fn) \
  template <> name##_DECLARE_DISPATCH_type::FnPtr TORCH_API DispatchStub<name##_DECLARE_DISPATCH_type::FnPtr, struct name##_DECLARE_DISPATCH_type>::arch = fn;
#ifdef CPU_CAPABILITY_AVX512
#define REGISTER_DISPATCH(name, fn) REGISTER_ARCH_DISPATCH(name, CPU_CAPABILITY, ((void*)(fn) ? nullptr : nullptr))
#else
#define REGISTER_DISPATCH(name, fn) REGISTER_ARCH_DISPATCH(name, CPU_CAPABILITY, fn)
#endif
DECLARE_DISPATCH(int (*)(), forward_stub)
DECLARE_DISPATCH(int (*)(), backward_stub)
}
