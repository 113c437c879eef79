"""The default TLS contexts for the gateway, with checks of the environment variables that it depends on."""

import os
import re
import ssl
from pathlib import Path

from smsapi_async.errors import ValidationError

# The names under which OpenSSL looks for a certificate in a directory; `openssl rehash` makes these names.
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+", re.ASCII)


def environment_tls_context() -> ssl.SSLContext | None:
    """Return a TLS context that trusts the certificates of ``SSL_CERT_FILE`` or of ``SSL_CERT_DIR``.

    The result is None if neither environment variable is set.

    Raises:
        ValidationError: if an environment variable leads to no usable file or directory.
    """
    check_key_log()
    file, directory = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not directory:
        return None
    # OpenSSL ignores a directory that does not exist, and then every connection fails without a hint.
    if not file and directory and not any(map(_has_certificates, directory.split(os.pathsep))):
        hint = "set this environment variable to a directory on which `openssl rehash` was run, or unset it"
        raise ValidationError("SSL_CERT_DIR", f"{directory!a} without certificates", hint)
    try:
        return ssl.create_default_context(cafile=file or None, capath=None if file else directory)
    except (OSError, ValueError) as error:
        if not file:
            raise
        hint = (
            "set this environment variable to a readable file of PEM certificates, or unset it "
            f"({type(error).__name__})"
        )
        raise ValidationError("SSL_CERT_FILE", ascii(file), hint) from None


def public_tls_context() -> ssl.SSLContext:
    """Return a TLS context that trusts the public certificates of certifi. The function takes about 20 ms."""
    import httpx  # noqa: PLC0415 - the import takes longer than the import of the rest of this package

    return httpx.create_ssl_context(trust_env=False)


def report_cut_offs(context: ssl.SSLContext) -> None:
    """Let a TLS context report a cut-off connection as an error.

    With the option `OP_IGNORE_UNEXPECTED_EOF`, OpenSSL reports a cut-off connection as an orderly end
    (RFC 8446, 6.1), and a cut-off response without a length looks complete.
    """
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF


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
