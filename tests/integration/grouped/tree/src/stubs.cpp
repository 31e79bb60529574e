#include <ATen/native/DispatchStub.h>
namespace at::native {
template <> int (*DispatchStub<int (*)(), forward_stub_DECLARE_DISPATCH_type>::DEFAULT)();
template <> int (*DispatchStub<int (*)(), backward_stub_DECLARE_DISPATCH_type>::DEFAULT)();
template <> int (*DispatchStub<int (*)(), forward_stub_DECLARE_DISPATCH_type>::AVX512)();
template <> int (*DispatchStub<int (*)(), backward_stub_DECLARE_DISPATCH_type>::AVX512)();
template <class Stub> int call() { return Stub::AVX512 ? Stub::AVX512() : Stub::DEFAULT(); }
int forward_stub() { return call<forward_stub_DECLARE_DISPATCH_type>(); }
int backward_stub() { return call<backward_stub_DECLARE_DISPATCH_type>(); }
}
