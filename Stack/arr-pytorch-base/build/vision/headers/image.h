#include <torch/types.h>
#include <ATen/core/op_registration/op_registration.h>
