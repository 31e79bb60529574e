"""Imports the finished torchaudio and uses its compiled operators."""

import os
import sys

import torch
import torchaudio
from torchaudio.functional import lfilter, rnnt_loss

failures = []


def expect(what: str, holds: bool) -> None:
    if not holds:
        failures.append(what)


wanted = os.environ["AUDIO_VERSION"]
expect(f"version {wanted}, not {torchaudio.__version__}", torchaudio.__version__ == wanted)
wave = torch.sin(torch.arange(800) / 10).unsqueeze(0)
filtered = lfilter(wave, torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]))
expect("a two-tap filter averages neighbours", torch.allclose(filtered[0, 1:], (wave[0, 1:] + wave[0, :-1]) / 2, atol=1e-6))
logits = torch.zeros(1, 2, 2, 3)
loss = rnnt_loss(
    logits,
    torch.tensor([[1]], dtype=torch.int32),
    torch.tensor([2], dtype=torch.int32),
    torch.tensor([1], dtype=torch.int32),
    blank=0,
)
expect("the transducer loss is finite", bool(torch.isfinite(loss)))
expect("a mel spectrogram has 16 bands", torchaudio.transforms.MelSpectrogram(n_mels=16, n_fft=256)(wave).shape[1] == 16)
if failures:
    sys.exit("torchaudio does not hold what the profile promises: " + "; ".join(failures))
print(f"torchaudio {torchaudio.__version__}")
