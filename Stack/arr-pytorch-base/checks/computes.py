"""The trio is there in matching versions and computes: linear algebra, gradients, NumPy, images, sound."""

import sys

import numpy
import torch
import torchaudio
import torchvision

wrong = []


def expect(what: str, holds: bool) -> None:
    if not holds:
        wrong.append(what)


torch.manual_seed(0)
a = torch.randn(96, 96, dtype=torch.float64)
expect("A @ solve(A, B) is B", torch.allclose(a @ torch.linalg.solve(a, a), a))

convolution = torch.nn.Conv2d(3, 8, 3, padding=1).double()
image = torch.randn(2, 3, 12, 12, dtype=torch.float64, requires_grad=True)
expect("a convolution's gradient is its numerical one", torch.autograd.gradcheck(convolution, image, fast_mode=True))

array = numpy.arange(6, dtype=numpy.float32)
tensor = torch.from_numpy(array)
tensor += 1
expect("torch.from_numpy shares the array's memory", array[0] == 1)

expect("the JIT scripts and runs", torch.jit.script(torch.nn.ReLU())(torch.tensor([-1.0, 2.0])).tolist() == [0, 2])
expect("torch.distributed has gloo", torch.distributed.is_available() and torch.distributed.is_gloo_available())

boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
expect(f"torchvision's compiled nms drops the overlap, and keeps {kept.tolist()}", kept.tolist() == [0, 2])
picture = (torch.rand(3, 16, 16) * 255).to(torch.uint8)
png = torchvision.io.decode_png(torchvision.io.encode_png(picture))
expect("a PNG comes back as it was", torch.equal(png, picture))
jpeg = torchvision.io.decode_jpeg(torchvision.io.encode_jpeg(torch.full((3, 16, 16), 128, dtype=torch.uint8)))
expect("a JPEG comes back nearly as it was", (jpeg.int() - 128).abs().max().item() <= 4)

expect("torchaudio's compiled part is loaded", torchaudio._extension._IS_TORCHAUDIO_EXT_AVAILABLE)
tone = torch.sin(2 * torch.pi * 440 * torch.arange(16000) / 16000)
spectrum = torchaudio.transforms.Spectrogram(n_fft=1600)(tone).mean(dim=1)
expect("a tone of 440 Hz stands at 440 Hz", spectrum.argmax().item() == 44)

versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, torchaudio {torchaudio.__version__}, numpy {numpy.__version__}"
if wrong:
    sys.exit(f"{versions} does not hold: " + "; ".join(wrong))
print(versions)
