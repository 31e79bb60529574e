#include <ATen/native/DispatchStub.h>
namespace at::native {
template <> int (*DispatchStub<int (*)(), forward_stub_DECLARE_DISPATCH_type>::DEFAULT)();
template <> int (*DispatchStub<int (*)(), backward_stub_DECLARE_DISPATCH_type>::DEFAULT)();
int forward_stub() { return forward_stub_DECLARE_DISPATCH_type::DEFAULT(); }
int backward_stub() { return backward_stub_DECLARE_DISPATCH_type::DEFAULT(); }
}
