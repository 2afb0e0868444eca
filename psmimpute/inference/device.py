"""Which device the model runs on."""

from __future__ import annotations

import torch

from psmimpute.exceptions import ConfigError


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
