"""Certificates for tests."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_daemon.web.server.listener import Tls

LOOPBACK = ipaddress.ip_address("127.0.0.1")


def make_certificate(
    folder: Path, name: str, *, valid_days: tuple[float, float] = (-0.01, 2.0)
) -> Tls:
    """Write a certificate for 127.0.0.1 and localhost with the common name `name`.

    It is valid from the first of `valid_days` to the second, counted from now.
    """
    folder.mkdir(exist_ok=True)
    tls = Tls(folder / "cert.pem", folder / "key.pem")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    first, last = (datetime.now(UTC) + timedelta(days=days) for days in valid_days)
    hosts = x509.SubjectAlternativeName([x509.IPAddress(LOOPBACK), x509.DNSName("localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(hosts, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    tls.certificate.write_bytes(certificate.public_bytes(pem))
    tls.key.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    return tls
