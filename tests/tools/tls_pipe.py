"""A TCP server with TLS of both sides, each of whose connections is a command's standard input and output.

    python tls_pipe.py ADDRESS PORT FOLDER COMMAND...    FOLDER: ca.crt, server.crt, server.key

It speaks what the command speaks: with `docker buildx dial-stdio` it is BuildKit's own API, as a buildkitd serves it.
"""

import asyncio
import ssl
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

BLOCK = 1 << 16


async def main() -> None:
    address, port, folder, *command = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])  # gRPC wants it
    context.load_verify_locations(Path(folder, "ca.crt"))
    context.load_cert_chain(Path(folder, "server.crt"), Path(folder, "server.key"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        assert child.stdin and child.stdout
        ways = [asyncio.create_task(pump(reader, child.stdin)), asyncio.create_task(pump(child.stdout, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        child.kill()
        writer.close()

    async with await asyncio.start_server(serve, address, int(port), ssl=context) as server:
        await server.serve_forever()


async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(BLOCK):
            target.write(data)
            await target.drain()
    except OSError:
        return


if __name__ == "__main__":
    asyncio.run(main())
