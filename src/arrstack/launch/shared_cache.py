"""sccache in ccache's place, where a profile says so: its objects are in a bucket, which every machine reads and writes while it compiles.

Nothing of it is an input: the program and its settings come into a build as a folder in the place of a stage that is empty else
(`CACHE_STAGE`), and the login as a secret.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from arrstack.engines.command import CERTIFICATES, shell_variables
from arrstack.recipes.tiers import CACHE_STAGE

SECRET = "google-login"
"""The id of the secret that is a service account's key."""


@dataclass(frozen=True)
class SharedCache:
    """`program` is sccache, `login` a service account's key; without one sccache asks the metadata server of Google's machines."""

    program: Path
    bucket: str
    login: Path | None = None

    @property
    def secrets(self) -> dict[str, Path]:
        return {SECRET: self.login} if self.login else {}

    def contexts(self, folder: Path) -> dict[str, str]:
        """The named context of a build; what it holds is written below `folder`."""
        made = folder / CACHE_STAGE
        if not made.exists():
            made.mkdir()
            shutil.copy(self.program, made / "sccache")
            (made / "environment").write_text(shell_variables(self.variables))
        return {CACHE_STAGE: str(made)}

    @property
    def variables(self) -> Mapping[str, str]:
        """sccache's settings (mozilla/sccache, docs/Gcs.md and docs/Configuration.md)."""
        login = {"GOOGLE_APPLICATION_CREDENTIALS": f"/run/secrets/{SECRET}"} if self.login else {}
        return {
            "SCCACHE_GCS_BUCKET": self.bucket,
            "SCCACHE_GCS_RW_MODE": "READ_WRITE",
            # Not a port: builds may share the machine's network.
            "SCCACHE_SERVER_UDS": "/tmp/sccache.socket",
            "SCCACHE_IDLE_TIMEOUT": "0",
            "SSL_CERT_FILE": CERTIFICATES,
            **login,
        }
