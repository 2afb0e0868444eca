"""Which device the model runs on."""

from __future__ import annotations

import torch

from psmimpute.exceptions import ConfigError

# Times as much as on a CPU, where what a pass holds must fit the caches, and the start of an
# operation costs next to nothing.
_ROOM_OF_ACCELERATOR = 16


def choose_device(name: str) -> torch.device:
    """Find the device of a name.

    Parameters
    ----------
    name : str
        A torch device such as ``"cpu"`` or ``"cuda:1"``, or ``"auto"``: CUDA where there is
        one, then MPS, then the CPU.

    Returns
    -------
    torch.device

    Raises
    ------
    ConfigError
        If torch knows no such device, or it is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"device {name!r} cannot be used here ({error}); use 'auto' or 'cpu'"
        ) from None
    return device


def room(device: torch.device) -> int:
    """Return how many times as much a pass through the model takes as on a CPU, a power of two.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    int
        It depends on the kind of device alone: the shape of a pass decides how its numbers round.
    """
    return 1 if device.type == "cpu" else _ROOM_OF_ACCELERATOR
