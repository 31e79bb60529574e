"""Google's real host names, on this machine: an HTTPS proxy (CONNECT, RFC 9110 9.3.6) that ends TLS with an authority of its own and hands
on to the plain server of the tests. For what knows no other address, as gcloud's reading of a build's log.

    with tls_proxy(google.address, folder) as proxy:
        environment |= {"HTTPS_PROXY": proxy.address, "REQUESTS_CA_BUNDLE": str(proxy.authority)}
"""

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "storage.googleapis.com"
NAMES = (HOST, "*.pkg.dev", "oauth2.googleapis.com")
"""The hosts that the certificate is for: Cloud Storage, Artifact Registry in every region, and what gives tokens to sccache."""


@dataclass
class Proxy:
    """`asked` are the hosts that were to be reached, as `HOST:PORT`."""

    address: str
    authority: Path
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def tls_proxy(plain: str, folder: Path) -> Iterator[Proxy]:
    """A proxy whose every HTTPS connection ends at the server `plain`."""
    authority, chain = certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(f"http://127.0.0.1:{listener.getsockname()[1]}", authority)
        threading.Thread(target=serve, args=(listener, context, plain, proxy), daemon=True).start()
        yield proxy


def serve(listener: socket.socket, context: ssl.SSLContext, plain: str, proxy: Proxy) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # closed
            return
        threading.Thread(target=tunnel, args=(client, context, plain, proxy), daemon=True).start()


def tunnel(client: socket.socket, context: ssl.SSLContext, plain: str, proxy: Proxy) -> None:
    """One connection: CONNECT, TLS, and then bytes in both directions until either side ends."""
    with contextlib.suppress(OSError), client:
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(4096)
            if not data:
                return
            head += data
        proxy.asked.append(head.split()[1].decode())
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        host = urlsplit(plain)
        with (
            context.wrap_socket(client, server_side=True) as inner,
            socket.create_connection((host.hostname, host.port)) as server,
        ):
            back = threading.Thread(target=pump, args=(server, inner), daemon=True)
            back.start()
            pump(inner, server)
            back.join(5)


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def certificates(folder: Path) -> tuple[Path, Path]:
    """An authority's certificate, and a file with a key and a certificate of it for Google's names."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = signed("arrstack's tests", root_key, None, root_key)
    leaf = signed(HOST, key, root, root_key)
    authority, chain = folder / "authority.pem", folder / "host.pem"
    authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    plain = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain.write_bytes(plain + leaf.public_bytes(serialization.Encoding.PEM))
    return authority, chain


def signed(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None, by: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in NAMES]), critical=False)
        .sign(by, hashes.SHA256())
    )
