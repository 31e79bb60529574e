"""A certificate authority for tests, and a server's certificate by it, made by openssl."""

import ssl
import subprocess
from pathlib import Path


def authority(folder: Path, name: str) -> Path:
    """A new authority's certificate; its key lies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{name}.crt"
    subject = ["-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE"]
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, "-keyout", made.with_suffix(".key"), "-out", made
    )
    return made


def server_context(folder: Path, issuer: Path, host: str) -> ssl.SSLContext:
    """What a server of that name proves itself by."""
    made, key = signed(folder, issuer, host, f"subjectAltName=DNS:{host}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return context


def signed(folder: Path, issuer: Path, name: str, extension: str) -> tuple[Path, Path]:
    """A certificate by the authority, with an extension in openssl's words, and its key."""
    key, request, made = (folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    extensions = folder / "extensions"
    extensions.write_text(f"{extension}\n")
    authority = ["-CA", issuer, "-CAkey", issuer.with_suffix(".key"), "-CAcreateserial", "-days", "2", "-extfile", extensions]
    openssl("x509", "-req", "-in", request, *authority, "-out", made)
    return made, key


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
