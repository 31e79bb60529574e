"""Imports the finished torchvision and uses one operator of each of its libraries."""

import os
import sys

import torch
import torchvision
from torchvision.io import ImageReadMode, decode_image, encode_jpeg, encode_png

failures = []


def expect(what: str, holds: bool) -> None:
    if not holds:
        failures.append(what)


wanted = os.environ["VISION_VERSION"]
expect(f"version {wanted}, not {torchvision.__version__}", torchvision.__version__ == wanted)
boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 11.0, 11.0], [20.0, 20.0, 30.0, 30.0]])
expect("nms keeps two of three boxes", torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2])
image = torch.arange(3 * 16 * 16, dtype=torch.uint8).reshape(3, 16, 16)
expect("PNG there and back", torch.equal(decode_image(encode_png(image), ImageReadMode.RGB), image))
expect("JPEG there and back", decode_image(encode_jpeg(image)).shape == image.shape)
if os.environ.get("USE_CUDA", "0") not in ("0", "OFF"):
    expect("CUDA operators", torch.ops.torchvision._cuda_version() > 0)
if failures:
    sys.exit("torchvision does not hold what the profile promises: " + "; ".join(failures))
print(f"torchvision {torchvision.__version__}")
