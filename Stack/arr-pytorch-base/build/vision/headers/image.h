#include <torch/torch.h>
#include <ATen/core/op_registration/op_registration.h>
