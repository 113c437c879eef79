"""The default TLS context for the gateway, with checks of the environment variables that it depends on."""

import os
import re
import ssl
from pathlib import Path

import httpx

from smsapi_async.errors import ValidationError

# The names under which OpenSSL looks for a certificate in a directory; `openssl rehash` makes these names.
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+", re.ASCII)


def default_tls_context() -> ssl.SSLContext:
    """Return a TLS context that verifies certificates.

    The trusted certificates are those of the file ``SSL_CERT_FILE`` or of the directory ``SSL_CERT_DIR``. If
    neither environment variable is set, the public certificates of certifi are trusted.

    Raises:
        ValidationError: if an environment variable leads to no usable file or directory.
    """
    check_key_log()
    file, directory = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    # OpenSSL ignores a directory that does not exist, and then every connection fails without a hint.
    if not file and directory and not any(map(_has_certificates, directory.split(os.pathsep))):
        hint = "set this environment variable to a directory on which `openssl rehash` was run, or unset it"
        raise ValidationError("SSL_CERT_DIR", f"{directory!a} without certificates", hint)
    try:
        return httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        if not file:
            raise
        hint = (
            "set this environment variable to a readable file of PEM certificates, or unset it "
            f"({type(error).__name__})"
        )
        raise ValidationError("SSL_CERT_FILE", ascii(file), hint) from None


def check_key_log() -> None:
    """Check that the file of the environment variable ``SSLKEYLOGFILE`` can be written.

    Python opens the file for each new TLS context.

    Raises:
        ValidationError: if the file cannot be written.
    """
    path = os.environ.get("SSLKEYLOGFILE")
    if not path:
        return
    try:
        with Path(path).open("ab"):
            pass
    except (OSError, ValueError) as error:
        hint = f"set this environment variable to a writable file, or unset it ({type(error).__name__})"
        raise ValidationError("SSLKEYLOGFILE", ascii(path), hint) from None


def _has_certificates(directory: str) -> bool:
    try:
        return any(_HASHED_NAME.fullmatch(name) for name in os.listdir(directory or "."))
    except OSError:
        return False
