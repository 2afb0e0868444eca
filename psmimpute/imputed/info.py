"""How imputations were made: what a report and a reader want to know about them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from psmimpute.imputed.held_out import HeldOutColumn


class ModelSource(Protocol):
    """What can be asked of imputations while the model that made them is at hand."""

    def held_out(
        self, *, n_draws: int, most_rows: int, seed: int, refit: bool
    ) -> list[HeldOutColumn]:
        """Hide observed cells and draw them anew; see :func:`psmimpute.source.Source`."""
        ...

    def at_pi(self, pi: float) -> Any:  # noqa: ANN401
        """Refit at another π′, starting from the members as they are, and impute again."""
        ...

    def under_reference(
        self,
        arm: Hashable,
        reference: object,
        columns: Sequence[Hashable],
        method: Literal["copy", "jump"],
    ) -> Mapping[int, npt.NDArray[Any]]:
        """Impute what follows the last observed visit as if the row were in another arm."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class ImputationInfo:
    """How a multiply-imputed data set came about.

    Attributes
    ----------
    seed : int, optional
        Seed of the imputations.
    missingness : str
        The assumed mechanism: ``"shared"``, ``"selection"`` or ``"ignorable"``;
        ``"unknown"`` for imputations made elsewhere.
    n_sets : int
        Number of missingness pattern sets of the model.
    n_sets_reason : str
        Why that many.
    members : int
        Number of refits of the model, each on its own resample of the rows; 0 if unknown.
    device : str
        Where the model was trained, as torch names it.
    software : str
        Name and version of the program that made the imputations.
    history : sequence of mapping
        Training records with keys ``member``, ``step``, ``loss`` and ``oob_loss`` (nats for
        each row).
    ess : ndarray, shape (n_rows,), optional
        Effective sample size of each row's importance weights.
    pareto_k : ndarray, shape (n_rows,), optional
        Shape of the generalised Pareto tail of each row's weights.
    warnings : tuple of str
        What the user was warned of.
    adjustments : tuple of str
        How imputed values were changed since, for sensitivity analysis.
    declared : mapping of str to str
        What the user declared of columns and mechanism beyond the defaults, in words.
    extend : callable, optional
        Maps a number of imputations to the multiply-imputed data set with that many. It is
        not kept when the data set is pickled.
    source : ModelSource, optional
        The model and the data, for what needs both: held-out checks, refits at another π′,
        references. Not kept when the data set is pickled.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> imp.info.missingness, imp.info.members
    ('unknown', 0)
    >>> imp.delta({"bmi": 1.0}).info.adjustments
    ("'bmi' shifted by 1.0",)
    """

    seed: int | None = None
    missingness: str = "unknown"
    n_sets: int = 1
    n_sets_reason: str = ""
    members: int = 0
    device: str = ""
    software: str = ""
    history: Sequence[Mapping[str, Any]] = field(default_factory=tuple, repr=False)
    ess: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    pareto_k: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()
    adjustments: tuple[str, ...] = ()
    declared: Mapping[str, str] = field(default_factory=dict)
    extend: Callable[[int], Any] | None = field(default=None, repr=False)
    source: ModelSource | None = field(default=None, repr=False)

    def take(self, rows: npt.NDArray[np.integer]) -> ImputationInfo:
        """Return the same for some of the rows; it can no longer extend.

        Parameters
        ----------
        rows : ndarray of int, shape (n_selected,)
            Positions of the rows.

        Returns
        -------
        ImputationInfo
            A new object.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> imp.info.take(np.array([0, 1])).members
        0
        """
        return replace(
            self,
            ess=None if self.ess is None else self.ess[rows],
            pareto_k=None if self.pareto_k is None else self.pareto_k[rows],
            extend=None,
            source=None,
        )
