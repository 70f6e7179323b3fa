#!/usr/bin/env python3
"""Makes the certificates and keys of this folder anew. They are for tests on loopback and protect nothing.

    scripts/buildbot.sh && .tools/buildbot-4.3.0/bin/python crates/tls/tests/certificates/make.py
"""

import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FOLDER = pathlib.Path(__file__).parent
HERE = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
ELSEWHERE = [x509.DNSName("elsewhere.example.org")]


def day(year):
    return datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc)


def write_key(name, key, form=serialization.PrivateFormat.PKCS8, lock=None):
    lock = serialization.BestAvailableEncryption(lock) if lock else serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, form, lock)
    (FOLDER / f"{name}.key").write_bytes(text)


def write(name, subject, key, issuer, signer, names, first=2020, last=9999, authority=False):
    def called(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(called(subject))
        .issuer_name(called(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(day(first))
        .not_valid_after(day(last))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usage, critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    (FOLDER / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


authority = ec.generate_private_key(ec.SECP256R1())
server = ec.generate_private_key(ec.SECP256R1())
old = rsa.generate_private_key(65537, 2048)
write_key("authority", authority)
write_key("server", server)
write_key("locked", server, lock=b"passphrase")
write_key("rsa", old, serialization.PrivateFormat.TraditionalOpenSSL)
SIGNED = ("An authority for tests", authority)
write("authority", "An authority for tests", authority, *SIGNED, HERE, authority=True)
write("server", "localhost", server, *SIGNED, HERE)
write("elsewhere", "elsewhere", server, *SIGNED, ELSEWHERE)
write("expired", "localhost", server, *SIGNED, HERE, last=2021)
write("early", "localhost", server, *SIGNED, HERE, first=9998)
write("selfsigned", "Myself", server, "Myself", server, HERE)
write("rsa", "localhost", old, *SIGNED, HERE)
