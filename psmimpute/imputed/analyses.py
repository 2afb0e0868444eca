"""One analysis, done on every imputation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from psmimpute.exceptions import PoolingError
from psmimpute.imputed.fitting import as_function
from psmimpute.pooling.compare import Comparison, Method, compare_fits, fits_of
from psmimpute.pooling.item import Fitted
from psmimpute.pooling.joint import JointTest
from psmimpute.pooling.likelihood import Nuisance
from psmimpute.pooling.likelihood_ratio import Ariv
from psmimpute.pooling.nested import choose_rule
from psmimpute.pooling.pool import pool
from psmimpute.pooling.results import PooledResults
from psmimpute.pooling.rubin import DfMethod, Rule


class Analyses:
    """Fitted models, one for each imputation; ``mira`` in mice.

    Made by ``imp.fit(...)``, or from any list of fitted models.

    Parameters
    ----------
    fits : sequence of fitted models, length m
        One for each imputation.
    member_of : array_like, shape (m,), optional
        Member that gave each imputation; pooling then knows which imputations share one.
    frames : callable, optional
        Gives the i-th completed frame, counted from 1. With `model` it lets D4 refit the model to
        the imputations stacked.
    model : callable, optional
        What fitted them: a function of a frame, or a model such as ``smf.ols`` with `formula`.
    formula : str, optional
        Formula of the model.
    options : mapping, optional
        Keywords that `model` was called with beside it.

    Attributes
    ----------
    fits : list
        The fitted models.
    m : int
        Number of imputations.
    member_of : ndarray or None
        Member that gave each imputation.
    formula : str or None
        Formula of the model.

    Raises
    ------
    PoolingError
        If there are no fits, or `member_of` has another length.

    Examples
    --------
    `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

    >>> import statsmodels.formula.api as smf
    >>> fits = imp.fit("bmi ~ age + chl", model=smf.ols)
    >>> fits
    <Analyses: 3 fits of RegressionResultsWrapper, 'bmi ~ age + chl'>
    >>> fits[0].nobs
    25.0
    """

    def __init__(
        self,
        fits: Sequence[Fitted],
        *,
        member_of: npt.ArrayLike | None = None,
        frames: Callable[[int], pd.DataFrame] | None = None,
        model: Callable[..., Fitted] | None = None,
        formula: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.fits: list[Fitted] = list(fits)
        if not self.fits:
            raise PoolingError("analyses need at least one fitted model, got none")
        self.member_of = None if member_of is None else np.asarray(member_of)
        if self.member_of is not None and self.member_of.shape != (len(self.fits),):
            raise PoolingError(
                f"member_of must name one member for each of the {len(self.fits)} fits, got shape "
                f"{self.member_of.shape}"
            )
        self.formula = formula
        self._frames = frames
        self._model, self._options = model, dict(options or {})

    @property
    def m(self) -> int:
        """Number of imputations."""
        return len(self.fits)

    def __len__(self) -> int:
        return len(self.fits)

    def __iter__(self) -> Iterator[Fitted]:
        return iter(self.fits)

    def __getitem__(self, i: int) -> Fitted:
        return self.fits[i]

    def __repr__(self) -> str:
        formula = f", {self.formula!r}" if self.formula else ""
        return f"<Analyses: {self.m} fits of {type(self.fits[0]).__name__}{formula}>"

    def pool(
        self, dfcom: float | None = None, rule: Rule = "rubin", *, df: DfMethod = "barnard1999"
    ) -> PooledResults:
        """Pool the analyses.

        Parameters
        ----------
        dfcom : float, optional
            Residual degrees of freedom had no value been missing. Default: what the models say.
        rule : {"rubin", "nested", "reiter2003"}, default "rubin"
            Which rules; see :func:`psmimpute.pool`.
        df : {"barnard1999", "rubin1987", "infinite"}, default "barnard1999"
            Degrees of freedom of the reference distributions.

        Returns
        -------
        PooledResults
            Pooled estimates with their inference.

        Raises
        ------
        PoolingError
            If there are fewer than 2 fits, one cannot be read or trusted, or their terms differ.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> import statsmodels.formula.api as smf
        >>> imp.fit("bmi ~ age + chl", model=smf.ols).pool().df.round(1).to_dict()
        {'Intercept': 3.6, 'age[T.40-59]': 16.2, 'age[T.60-99]': 6.1, 'chl': 4.4}
        """
        return pool(self.fits, dfcom, rule=rule, df=df, member_of=self.member_of)

    def compare(
        self,
        null: Analyses | PooledResults | None = None,
        method: Method = "D1",
        *,
        use: Literal["wald", "likelihood"] = "wald",
        dfcom: float | None = None,
        ariv: Ariv = "default",
        nuisance: Nuisance | None = None,
        rule: Rule = "rubin",
    ) -> JointTest:
        """Compare with a smaller model that was fitted to the same imputations.

        Parameters
        ----------
        null : Analyses or PooledResults, optional
            The smaller model, whose terms are among those of this one. None tests all terms but
            the intercept.
        method : {"D1", "D2", "D3", "D4"}, default "D1"
            Wald test from covariance matrices; from one statistic of each imputation; likelihood
            ratio at pooled parameters; likelihood ratio of the stacked imputations.
        use : {"wald", "likelihood"}, default "wald"
            Statistics that D2 pools.
        dfcom : float, optional
            Complete-data residual degrees of freedom of D1. Default: what the models say;
            infinity gives the large-sample test.
        ariv : {"default", "positive", "robust"}, default "default"
            Estimate of the relative increase in variance, of D3 and D4.
        nuisance : {"pooled", "refitted"}, optional
            What D3 does with intercept and residual variance: averages them (mitml, the default
            for linear models) or fits them anew (mice, the default for the rest).
        rule : {"rubin", "nested"}, default "rubin"
            Rules of the variances of D1; nested by itself when imputations share a member.

        Returns
        -------
        JointTest
            With ``statistic``, ``df1``, ``df2``, ``p_value`` and ``riv``.

        Raises
        ------
        PoolingError
            If the models are not nested, have different numbers of imputations, or lack what the
            test needs.
        ConfigError
            If an option is none of its possible values, or the smaller model was not fitted.

        References
        ----------
        .. [1] Li, K. H., Raghunathan, T. E. and Rubin, D. B. (1991). Large-sample significance
           levels from multiply imputed data. JASA 86(416), 1065-1073. D1.
        .. [2] Reiter, J. P. (2007). Small-sample degrees of freedom for multi-component
           significance tests with multiple imputation for missing data. Biometrika 94(2), 502-508.
        .. [3] Li, K. H., Meng, X.-L., Raghunathan, T. E. and Rubin, D. B. (1991). Significance
           levels from repeated p-values with multiply-imputed data. Statistica Sinica 1(1), 65-92.
           D2.
        .. [4] Meng, X.-L. and Rubin, D. B. (1992). Performing likelihood ratio tests with
           multiply-imputed data sets. Biometrika 79(1), 103-111. D3.
        .. [5] Chan, K. W. and Meng, X.-L. (2022). Multiple improvements of multiple imputation
           likelihood ratio tests. Statistica Sinica 32, 1489-1514. D4.

        Examples
        --------
        `imp` is that of the example of :class:`psmimpute.MultiplyImputed`.

        >>> import statsmodels.formula.api as smf
        >>> full = imp.fit("bmi ~ age + chl", model=smf.ols)
        >>> test = full.compare(imp.fit("bmi ~ chl", model=smf.ols))
        >>> test.method, test.df1, round(test.p_value, 3)
        ('D1', 2.0, 0.312)
        >>> full.compare(imp.fit("bmi ~ chl", model=smf.ols), method="D4").method
        'D4'
        """
        comparison = Comparison(
            method=method,
            use=use,
            dfcom=dfcom,
            ariv=ariv,
            nuisance=nuisance,
            rule=choose_rule(rule, self.member_of),
            member_of=self.member_of,
        )
        return compare_fits(
            self.fits,
            fits_of(null),
            comparison,
            refit_full=self._stacked_refit() if isinstance(null, Analyses) else None,
            refit_null=null._stacked_refit() if isinstance(null, Analyses) else None,
        )

    def _stacked_refit(self) -> Callable[[], Fitted] | None:
        """How to fit the model to all imputations at once, if the frames are at hand."""
        frames, model = self._frames, self._model
        if frames is None or model is None:
            return None
        if self.formula is None:
            fit = as_function(model)
        else:
            fit = as_function(self.formula, model, self._options)

        def refit() -> Fitted:
            stacked = [frames(i) for i in range(1, self.m + 1)]
            return fit(pd.concat(stacked, ignore_index=True))

        return refit

    def __getstate__(self) -> dict[str, Any]:
        # Frames and user functions are often closures; the fits are what is worth keeping.
        return self.__dict__ | {"_frames": None, "_model": None, "_options": {}}
