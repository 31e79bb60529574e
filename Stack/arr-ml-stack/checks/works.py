"""What the tier is for works on the compiled torch: models, adapters, images, data sets, sound files."""

import os
import sys
import tempfile
import warnings

warnings.simplefilter("error", ImportWarning)
os.environ |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "TOKENIZERS_PARALLELISM": "false"}

import accelerate
import datasets
import google.cloud.aiplatform
import google.cloud.storage
import huggingface_hub
import kornia
import numpy
import peft
import PIL.Image
import safetensors.torch
import scipy.linalg
import torch
import torchaudio
import transformers
import wandb

wrong = []


def expect(what: str, holds: bool) -> None:
    if not holds:
        wrong.append(what)


torch.manual_seed(0)
expect("torch.from_numpy", torch.from_numpy(numpy.ones(3)).sum().item() == 3)
expect("Pillow to torch", torch.from_numpy(numpy.asarray(PIL.Image.new("L", (2, 2), 7)).copy()).float().mean().item() == 7)
expect("SciPy", numpy.allclose(scipy.linalg.expm(numpy.zeros((2, 2))), numpy.eye(2)))

llama = transformers.LlamaForCausalLM(
    transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2
    )
)
adapted = peft.get_peft_model(llama, peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
adapted, optimizer = accelerate.Accelerator(cpu=True).prepare(adapted, torch.optim.AdamW(adapted.parameters(), lr=0.05))
tokens = torch.arange(32).view(2, 16)
losses = []
for _ in range(8):
    loss = adapted(input_ids=tokens, labels=tokens).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
expect(f"a Llama with a LoRA adapter learns under accelerate: {losses[0]:.3f} to {losses[-1]:.3f}", losses[-1] < losses[0])

blurred = kornia.filters.gaussian_blur2d(torch.rand(1, 1, 16, 16), (5, 5), (2.0, 2.0))
expect("kornia blurs", blurred.std().item() < 0.2)
doubled = datasets.Dataset.from_dict({"x": [1, 2, 3]}).map(lambda row: {"x": row["x"] * 2}).with_format("torch")["x"][:]
expect("datasets maps into torch", torch.as_tensor(doubled).tolist() == [2, 4, 6])

with tempfile.TemporaryDirectory() as folder:
    safetensors.torch.save_file({"a": torch.ones(2)}, f"{folder}/a.safetensors")
    expect("safetensors", safetensors.torch.load_file(f"{folder}/a.safetensors")["a"].tolist() == [1, 1])
    wave = torch.sin(torch.linspace(0, 100, 8000)).unsqueeze(0) / 2
    torchaudio.save(f"{folder}/a.flac", wave, 8000)
    back, rate = torchaudio.load(f"{folder}/a.flac")
    expect("torchaudio writes and reads FLAC", rate == 8000 and torch.allclose(back, wave, atol=1e-3))

if wrong:
    sys.exit("on this torch does not work: " + "; ".join(wrong))
named = (accelerate, datasets, huggingface_hub, kornia, peft, transformers, wandb, google.cloud.aiplatform, google.cloud.storage)
print(", ".join(f"{module.__name__} {module.__version__}" for module in named))
