"""Packages that need not be installed: torch and torchvision, without which the bundled network does all its work."""

from __future__ import annotations

from importlib.util import find_spec

from cbir.errors import TorchMissingError

#: The command that installs them, for people.
INSTALL = "`pip install torch torchvision`"


def has_torch() -> bool:
    """Tell whether torch and torchvision are installed, without importing them."""
    return all(find_spec(name) is not None for name in ("torch", "torchvision"))


def check_torch(what: str, without: str = "there is efficientnet_lite0, with the weights that come with cbir") -> None:
    """Raise TorchMissingError, with what to install, where they are missing; `what` is "The engine torch", say.

    `without` says what there is without them.
    """
    if not has_torch():
        raise TorchMissingError(
            f"{what} needs torch and torchvision, which are not installed here: {INSTALL} adds them (5 GB). "
            f"Without them {without}."
        )
