"""The error of a module of this room whose library is not installed."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager


@contextmanager
def needs(what: str, packages: Collection[str], requirement: str, name: str | None = None) -> Iterator[None]:
    """Import a library in the ``with`` block. If the library is missing, the error names its requirement.

    Args:
        what: the module or the class that needs the library.
        packages: the packages of the library that the block imports.
        requirement: the argument of ``pip install``.
        name: the name of the library; None means that the name is the requirement.

    Raises:
        ModuleNotFoundError: if the library is not installed. If another package is missing, the error of the
            import is raised unchanged.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in packages:
            raise
        text = f"{what} needs {name or requirement}: pip install {requirement}"
        raise ModuleNotFoundError(text, name=error.name) from None
