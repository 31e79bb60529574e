"""torch is exactly its wheel: every file of RECORD is there, as it was compiled and packed."""

import base64
import csv
import hashlib
import sys
from importlib import metadata
from pathlib import Path

torch = metadata.distribution("torch")
wrong, headers = [], 0
for name, digest, _ in csv.reader((torch.read_text("RECORD") or "").splitlines()):
    path = Path(str(torch.locate_file(name)))
    headers += name.startswith("torch/include/")
    if digest and path.is_file():
        found = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
        if digest != f"sha256={found}":
            wrong.append(f"{name} was changed")
    elif not path.is_file():
        wrong.append(f"{name} is missing")
if wrong or not headers:
    sys.exit(f"torch is not its wheel: {'; '.join(wrong[:5]) or 'it has no headers'}")
print(f"torch is its wheel, with {headers} headers")
