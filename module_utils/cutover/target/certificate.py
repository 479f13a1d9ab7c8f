# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a server's certificate was refused: libpq only says that it was."""

from __future__ import annotations

import contextlib
import socket
import ssl

#: What a client of PostgreSQL sends to begin TLS: the length, and the number that stands for it.
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_TIMEOUT = 10
#: OpenSSL's words, as an operator needs them.
_REASONS = {
    "certificate has expired": "it has expired",
    "certificate is not yet valid": "it is not valid yet: is the clock of this host right?",
    "unable to get local issuer certificate": "another authority has signed it",
    "self-signed certificate": "it is signed by itself, not by an authority",
    "self-signed certificate in certificate chain": "another authority has signed it",
    "unable to get issuer certificate": "another authority has signed it",
    "certificate signature failure": "another authority of the same name has signed it",
}


def reason(host: str, port: int, authorities: str | None) -> str:
    """Ask once more, in a way that tells why. Empty when it cannot be found out.

    authorities: the file that libpq was given (sslrootcert).
    """
    with contextlib.suppress(OSError, ValueError):
        context = ssl.create_default_context(cafile=authorities or None)
        # The name is libpq's to compare; it says so itself.
        context.check_hostname = False
        with socket.create_connection((host, port), timeout=_TIMEOUT) as plain:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                return ""
            try:
                with context.wrap_socket(plain):
                    return ""
            except ssl.SSLCertVerificationError as error:
                return _REASONS.get(error.verify_message, error.verify_message)
    return ""


def explain(text: str, host: str, port: int, authorities: str | None) -> str:
    """What to do about a connection that failed for its certificate; empty when it failed for something else."""
    lower = text.lower()
    proof = f"proved with {authorities}" if authorities else "proved with this host's own authorities"
    if "certificate verify failed" in lower:
        why = reason(host, port, authorities)
        return (
            f"The certificate of the server on port {port} is refused{': ' + why if why else ''} ({proof}). "
            "playbooks/certificates.yml renews one that the migration's authority signs and puts that authority's certificate on "
            "every host; any other is renewed where it came from, and the server told to reload. "
        )
    if "does not match host name" in lower:
        return "The certificate of the server is made for other names: use one of those, or add this one (postgresql_tls_names). "
    if "root certificate file" in lower:
        return "playbooks/certificates.yml puts the file of the migration's authority on every host. "
    return ""
