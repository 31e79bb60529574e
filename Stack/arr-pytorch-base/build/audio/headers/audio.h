#include <torch/script.h>
#include <torch/torch.h>
#include <torch/csrc/autograd/custom_function.h>
