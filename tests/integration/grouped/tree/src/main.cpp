#include <cstdio>
#include "src/lib.h"
#include "aten/src/ATen/native/DispatchStub.h"
int asserts(); int asserts_not(); int static_one(); int static_two(); const char* refuses();
int main() {
  std::printf("%d %d %d %d %s %s %d %s %d\n", asserts(), asserts_not(), static_one(), static_two(), refuses(), words()[0].c_str(), generated(),
    order().c_str(), at::native::forward_stub() + at::native::backward_stub());
}
