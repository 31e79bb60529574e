"""The W&B key from Secret Manager, where the environment names a secret in place of the key."""

import subprocess
from collections.abc import Mapping

PROGRAM = "arr-secret"
"""Of tier 3 (Stack/arr-trainer/build/arr-secret): prints a secret's version."""


class SecretError(RuntimeError):
    """A secret that could not be read. Its message says which, and why."""


def with_key(environment: Mapping[str, str], secret: str) -> dict[str, str]:
    """The environment with WANDB_API_KEY, from the secret unless it is set already. Raises SecretError.

    with_key({"WANDB_API_KEY": "k"}, "")  # {"WANDB_API_KEY": "k"}
    """
    if not secret or environment.get("WANDB_API_KEY"):
        return dict(environment)
    try:
        done = subprocess.run([PROGRAM, secret], env=dict(environment), capture_output=True, text=True)
    except FileNotFoundError:
        raise SecretError(f"there is no program {PROGRAM}: this is not an image on arr-trainer") from None
    if done.returncode:
        raise SecretError((done.stderr.strip() or f"{PROGRAM} ended with status {done.returncode}").removeprefix(f"{PROGRAM}: "))
    return {**environment, "WANDB_API_KEY": done.stdout.strip()}
