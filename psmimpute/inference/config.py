"""What the user chooses about training and drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from psmimpute.exceptions import ConfigError
from psmimpute.plain_numbers import make_numbers_plain

# From here on one fold judges the common fit, more pattern sets are tried, networks learn
# faster, and one may predict the columns with gaps from those without: so many rows are not
# overfitted in the steps that there are.
MANY_ROWS = 4097
_NETWORK_RATE, _NETWORK_RATE_OF_MANY_ROWS = 0.3, 1.2


@dataclass(frozen=True, slots=True)
class FitConfig:
    """Training and drawing options; the defaults adapt to the size of the table.

    Parameters
    ----------
    max_steps : int or "auto", default "auto"
        Largest number of gradient steps, or of EM iterations where these take their place;
        out-of-bag early stopping usually ends sooner.
    batch_rows : int or "auto", default "auto"
        Rows of a step for each member: 256 below 2,000 rows, else 512. A table with up to twice
        as many rows is used whole in every step, weighted by the member's bootstrap counts.
    n_samples : int or "auto", default "auto"
        Importance samples of the bound in training, of each pattern set; where these are four or
        more, and there are networks, of all sets together.
    learning_rate : float, default 0.01
        Of the linear parameters, at its peak.
    network_rate : float or "auto", default "auto"
        Learning rate of the networks as a multiple of `learning_rate`: 0.3 up to 4,096 rows, then
        1.2.
    weight_decay : float, default 0.01
        Decoupled decay of the networks' weights.
    resample : bool, default True
        Whether each member is trained on a bootstrap resample of the rows. Without it the
        imputations lack the uncertainty of the parameters: for single imputation only.
    n_draw_samples : int, default 64
        Importance samples for drawing imputations.
    draw_rows : int, default 2048
        Rows that are drawn at once; bounds the memory, not the result.

    Raises
    ------
    ConfigError
        If an option is out of its range.

    Examples
    --------
    >>> FitConfig(max_steps=500).learning_rate
    0.01
    """

    max_steps: int | Literal["auto"] = "auto"
    batch_rows: int | Literal["auto"] = "auto"
    n_samples: int | Literal["auto"] = "auto"
    learning_rate: float = 0.01
    network_rate: float | Literal["auto"] = "auto"
    weight_decay: float = 0.01
    resample: bool = True
    n_draw_samples: int = 64
    draw_rows: int = 2048

    def __post_init__(self) -> None:
        make_numbers_plain(self)
        for name in ("max_steps", "n_samples", "batch_rows", "n_draw_samples", "draw_rows"):
            value = getattr(self, name)
            if value != "auto" and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        for name in ("learning_rate", "network_rate", "weight_decay"):
            value = getattr(self, name)
            if name == "network_rate" and value == "auto":
                continue
            if not 0 <= value < 10:
                raise ConfigError(f"{name} must lie in [0, 10), got {value}")

    def rows_of_step(self, n_rows: int) -> int:
        """Return the rows of a step.

        Parameters
        ----------
        n_rows : int
            Rows of the table.

        Returns
        -------
        int
            Rows of the table that one training step sees.

        Examples
        --------
        >>> FitConfig().rows_of_step(748)
        256
        """
        if self.batch_rows != "auto":
            return self.batch_rows
        return 256 if n_rows < 2_000 else 512

    def rows_at_once(self, n_rows: int) -> int:
        """Return the rows that are computed at once: all of a table that is not much larger.

        Parameters
        ----------
        n_rows : int
            Rows of the table.

        Returns
        -------
        int
            Up to twice the rows of a step where that is the whole table, else the rows of a step.

        Examples
        --------
        >>> FitConfig().rows_at_once(500), FitConfig().rows_at_once(748)
        (500, 256)
        """
        most = self.rows_of_step(n_rows)
        return n_rows if n_rows <= 2 * most else most

    def network_rate_for(self, n_rows: int) -> float:
        """Return the learning rate of the networks as a multiple of `learning_rate`.

        Parameters
        ----------
        n_rows : int
            Rows of the table.

        Returns
        -------
        float
            What was chosen, or what suits so many rows.

        Examples
        --------
        >>> FitConfig().network_rate_for(500), FitConfig(network_rate=0.5).network_rate_for(500)
        (0.3, 0.5)
        """
        if self.network_rate != "auto":
            return self.network_rate
        return _NETWORK_RATE if n_rows < MANY_ROWS else _NETWORK_RATE_OF_MANY_ROWS
