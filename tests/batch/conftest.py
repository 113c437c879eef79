"""A sandbox over a real socket."""

from tests.client.conftest import sandbox

__all__ = ["sandbox"]
