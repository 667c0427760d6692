"""One side of a TLS 1.3 copy over loopback.

`serve FOLDER` prints its port; `send FOLDER PORT MEBIBYTES` prints MB/s.
"""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import sys
import time
from pathlib import Path

from bench.data import MB, MIB


def serve(folder: Path) -> None:
    """Take one connection, read it to its end and answer with one byte."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(_certificate(folder))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        plain, _ = listener.accept()
        with context.wrap_socket(plain, server_side=True) as connection:
            buffer = bytearray(MIB)
            left = int.from_bytes(connection.recv(8))
            while left and (got := connection.recv_into(buffer)):
                left -= got
            connection.sendall(b"!")


def send(folder: Path, port: int, mebibytes: int) -> float:
    """Send that many random blocks; MB/s until the other side has them all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(folder / "tls.pem")
    block = os.urandom(MIB)
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        start = time.perf_counter()
        connection.sendall((mebibytes * MIB).to_bytes(8))
        for _ in range(mebibytes):
            connection.sendall(block)
        connection.recv(1)
        return mebibytes * MIB / MB / (time.perf_counter() - start)


def _certificate(folder: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "tls.pem"
    path.write_bytes(secret + built.public_bytes(serialization.Encoding.PEM))
    return path


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]))
    else:
        print(send(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
