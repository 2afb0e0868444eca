"""Fit once, impute many times: the scikit-learn-like estimator and the one-call function."""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Iterable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyarrow.dataset import Dataset

from psmimpute.agreement import learn_answers, redraw_contradictions
from psmimpute.assembly import RowDraws, RowImputer, Unseen, encode_rows
from psmimpute.cautions import warn_of_derived, warn_of_imputations
from psmimpute.exceptions import (
    ConfigError,
    CorruptFileError,
    NoMissingDataWarning,
    NotFittedError,
    NotStorableError,
    PSMError,
    SchemaError,
)
from psmimpute.imputed.derived import DerivedColumns, read_derived
from psmimpute.imputed.finishing import finish
from psmimpute.imputed.multiply_imputed import ImputationInfo, MultiplyImputed
from psmimpute.inference.checkpoint import pack_model, read_file, unpack_model, write_file
from psmimpute.inference.config import FitConfig
from psmimpute.inference.device import choose_device
from psmimpute.inference.fitted import FittedModel, Training, fingerprint, fit_model
from psmimpute.inference.members_ray import RayTraining
from psmimpute.inference.progress import Progress
from psmimpute.inference.structure import train_members
from psmimpute.model.config import Missingness, ModelConfig
from psmimpute.options import (
    Bounds,
    Conditions,
    Derived,
    Engine,
    Kinds,
    Pi,
    check_m,
    check_options,
    check_whole,
    pi_by_column,
)
from psmimpute.saving import describe_answers, describe_options, read_answers, read_options
from psmimpute.selection_effects import Effects, effects_by_output
from psmimpute.single import fill_once
from psmimpute.source import Source as ModelSource
from psmimpute.storage.sampling import sample_rows as sample_from
from psmimpute.storage.source import ParquetSource, Source
from psmimpute.table.applicability import Answers, Applicability
from psmimpute.table.chosen_cells import Where, chosen_cells
from psmimpute.table.conforming import conform
from psmimpute.table.determined_levels import warn_of_determined_levels
from psmimpute.table.encoded import EncodedTable
from psmimpute.table.exact_relations import warn_of_exact_relations
from psmimpute.table.expressions import Expression
from psmimpute.table.infer import schema_with_derived
from psmimpute.table.json_values import from_json, to_json
from psmimpute.table.row_keys import row_keys
from psmimpute.table.schema import TableSchema
from psmimpute.table.separate_columns import warn_of_separate_columns
from psmimpute.table.skip_patterns import warn_of_skip_patterns
from psmimpute.telling import remembered, warn

_NO_GAPS = "no cell is missing in a modelled column: every imputation is a copy of the data"


class PSMImputer:
    """Imputer that learns a pattern-set mixture model of a table.

    Its manners are scikit-learn's: the constructor only stores its arguments, learned
    attributes end in an underscore, and ``sklearn.base.clone`` works.

    Parameters
    ----------
    m : int, default 20
        Number of imputations.
    seed : int, optional
        Of everything random; drawn from the system's entropy where None.
    missingness : {"shared", "selection", "ignorable"}, default "shared"
        Model of which cells were observed: through the pattern set, PSMVAE(b); through the
        cell's own value and the set, PSMVAE(a); or not at all.
    n_sets : int or "auto", default "auto"
        Number of missingness pattern sets; ``"auto"`` adds sets while the held-out bound
        improves by more than twice its standard error.
    pi : float or "adaptive" or mapping, default 0.5
        π′ in [0, 1]: 1 − π′ is the weight with which an observed cell also teaches the decoder of
        missing cells. ``"adaptive"`` is P(observed) / (1 + P(observed)) of each column; a
        mapping gives columns their own value, the others 0.5.
    members : int, optional
        Number of refits of the model, each on its own bootstrap resample of the rows; one for
        each imputation by default. With fewer, pooling uses the rules for nested imputations.
    kinds : mapping of column to ColumnKind or str, optional
        Kinds to use in place of the inferred ones.
    exclude : iterable of hashable, default ()
        Columns to leave out: neither imputed nor used to impute others.
    bounds : mapping of column to (low, high), optional
        Imputed numbers and times are clipped to this range; None leaves an end open. Ends of times
        are what pandas reads as such, ``"2020-01-31"`` or ``"3 days"`` for example.
    derived : mapping of column to str or callable, optional
        Columns computed from the others in each completed table, by a formula such as
        ``"weight / height**2"`` (:class:`psmimpute.table.expressions.Expression`) or a function of
        the table. They are no part of the model; of a column that the data have, gaps are
        filled and observed cells stay.
    applicable_if : mapping of column to str or callable, optional
        Skip patterns: a condition, such as ``"sex == 'female'"``, under which the column
        applies. Gaps where it does not hold are left out of the model and stay gaps; where the
        column was observed, what the condition rests on is imputed so that it holds.
    selection_effect : mapping of column to effect, optional
        Under ``missingness="selection"``, effects b of a value on the log odds of its being
        observed that are given instead of learned, for sensitivity analysis: per standard
        deviation of a number (on the scale on which it is modelled), from the lowest to the
        highest level of a binary or ordinal column, or by level of a nominal one. One number,
        or one for each pattern set.
    device : str, default "auto"
        ``"auto"`` is CUDA, else MPS, else the CPU; or a torch device.
    progress : bool, optional
        Whether to show progress bars; by default where the output is a terminal or a notebook.
    model : ModelConfig
        Architecture and objective.
    fit : FitConfig
        Training and drawing.

    Attributes
    ----------
    schema_ : TableSchema
        What the columns are.
    fitted_ : FittedModel
        The trained members and how they were chosen.
    seed_ : int
        The seed in use.
    n_sets_ : int
        Number of pattern sets.

    References
    ----------
    .. [1] Ghalebikesabi, S., Cornish, R., Holmes, C. and Kelly, L. J. (2021). Deep generative
       missingness pattern-set mixture models. AISTATS, PMLR 130, 3727-3735.

    Examples
    --------
    One pattern set and five training steps keep it short; leave both options out for real work.
    The examples of the methods go on with `imputer`.

    >>> import psmimpute as psm
    >>> df = psm.load_nhanes2()
    >>> quick = {"n_sets": 1, "fit": psm.FitConfig(max_steps=5)}
    >>> imputer = psm.PSMImputer(m=2, seed=1, **quick).fit(df)
    >>> int(imputer.impute(df, m=2, seed=0).complete(1).isna().sum().sum())
    0
    """

    def __init__(
        self,
        m: int = 20,
        *,
        seed: int | None = None,
        missingness: Missingness = "shared",
        n_sets: int | Literal["auto"] = "auto",
        pi: Pi = 0.5,
        members: int | None = None,
        kinds: Kinds | None = None,
        exclude: Iterable[Hashable] = (),
        bounds: Bounds | None = None,
        derived: Derived | None = None,
        applicable_if: Conditions | None = None,
        selection_effect: Effects | None = None,
        device: str = "auto",
        progress: bool | None = None,
        model: ModelConfig = ModelConfig(),  # noqa: B008  frozen
        fit: FitConfig = FitConfig(),  # noqa: B008  frozen
    ) -> None:
        self.m = m
        self.seed = seed
        self.missingness = missingness
        self.n_sets = n_sets
        self.pi = pi
        self.members = members
        self.kinds = kinds
        self.exclude = exclude
        self.bounds = bounds
        self.derived = derived
        self.applicable_if = applicable_if
        self.selection_effect = selection_effect
        self.device = device
        self.progress = progress
        self.model = model
        # `fit` is also the name of the method, which an instance attribute would hide.
        self._fit_config = fit

    _OPTIONS = (
        "m",
        "seed",
        "missingness",
        "n_sets",
        "pi",
        "members",
        "kinds",
        "exclude",
        "bounds",
        "derived",
        "applicable_if",
        "selection_effect",
        "device",
        "progress",
        "model",
    )

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the constructor's arguments.

        Parameters
        ----------
        deep : bool, default True
            For scikit-learn; there are no nested estimators.

        Returns
        -------
        dict
            Names and values, those left at their defaults too.

        Examples
        --------
        >>> imputer.get_params()["n_sets"]
        1
        """
        return {name: getattr(self, name) for name in self._OPTIONS} | {"fit": self._fit_config}

    def set_params(self, **params: Any) -> Self:  # noqa: ANN401
        """Set constructor arguments.

        Parameters
        ----------
        **params
            Names and values, as for the constructor.

        Returns
        -------
        PSMImputer
            Itself.

        Raises
        ------
        ConfigError
            If there is no argument of that name.

        Examples
        --------
        >>> psm.PSMImputer().set_params(m=5).m
        5
        """
        for name, value in params.items():
            if name == "fit":
                self._fit_config = value
            elif name in self._OPTIONS:
                setattr(self, name, value)
            else:
                known = ", ".join((*self._OPTIONS, "fit"))
                raise ConfigError(f"PSMImputer has no option {name!r}; it has {known}")
        return self

    def save(self, path: str | PathLike[str]) -> Path:
        """Save the fitted imputer as one file.

        The file is safetensors with a JSON header: data alone, no code and no pickle. It holds
        the schema with levels, dtypes and transforms, the options, the members, the start of
        further members (so that ``extend`` works on the rows that were fitted), versions and a
        checksum, and no row of the table. It is written all at once.

        Parameters
        ----------
        path : str or path-like
            The file; one of that name is replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        NotFittedError
            If :meth:`fit` has not been called.
        StorageError
            If the file cannot be written, or an option or a level has no form as data.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> file = imputer.save(pathlib.Path(tempfile.mkdtemp()) / "nhanes.psm")
        >>> psm.PSMImputer.load(file).impute(df).m
        2
        """
        write_file(path, self.to_bytes())
        return Path(path)

    def to_bytes(self) -> bytes:
        """Return what :meth:`save` writes; the same bytes for the same fitted imputer.

        Returns
        -------
        bytes
            A safetensors file.

        Raises
        ------
        NotFittedError
            If :meth:`fit` has not been called.
        NotStorableError
            If an option or a level has no form as data.

        Examples
        --------
        >>> imputer.to_bytes() == imputer.to_bytes()
        True
        """
        fitted = self._check_fitted()
        try:
            learned = {
                "options": describe_options(self.get_params()),
                "seed": self.seed_,
                "features": [to_json(name) for name in self.feature_names_in_.tolist()],
                "answers": describe_answers(self._answers),
            }
            return pack_model(fitted, self.schema_, learned)
        except SchemaError as error:
            raise NotStorableError(f"the imputer cannot be stored: {error}") from error

    @classmethod
    def load(cls, path: str | PathLike[str], *, device: str = "auto") -> Self:
        """Load an imputer that :meth:`save` wrote.

        The file is not trusted: sizes, shapes, types, finiteness and the checksum are verified
        before the model is built, and nothing in it is executed.

        Parameters
        ----------
        path : str or path-like
            The file.
        device : str, default "auto"
            Where the model is to live, whichever device it was fitted on. Draws on another kind
            of device agree up to single-precision rounding, but for the few levels whose uniform
            number lies that close to a bound.

        Returns
        -------
        PSMImputer
            Fitted; it imputes, transforms and extends as the saved one does.

        Raises
        ------
        StorageError
            If the file cannot be read.
        CorruptFileError
            If it is truncated, was tampered with, or is no model.
        NewerFormatError
            If a later version of the package wrote it.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> file = imputer.save(pathlib.Path(tempfile.mkdtemp()) / "nhanes.psm")
        >>> psm.PSMImputer.load(file).seed_
        1
        """
        return cls.from_bytes(read_file(path), device=device, what=str(path))

    @classmethod
    def from_bytes(cls, data: bytes, *, device: str = "auto", what: str = "the model") -> Self:
        """Return the imputer of which :meth:`to_bytes` gave the bytes; see :meth:`load`.

        Parameters
        ----------
        data : bytes
            A safetensors file. It is not trusted.
        device : str, default "auto"
            Where the model is to live.
        what : str, default "the model"
            Name of the source, for messages.

        Returns
        -------
        PSMImputer
            Fitted; it imputes, transforms and extends as the saved one does.

        Raises
        ------
        ConfigError
            If there is no such device.
        CorruptFileError
            If the bytes are truncated, were tampered with, or are no model.
        NewerFormatError
            If a later version of the package wrote them.

        Examples
        --------
        >>> psm.PSMImputer.from_bytes(imputer.to_bytes()).n_sets_
        1
        """
        fitted, schema, learned = unpack_model(data, device=choose_device(device), what=what)
        try:
            loaded = cls().set_params(**read_options(learned["options"]))
            check_options(loaded.get_params())
            if loaded.device.partition(":")[0] not in ("auto", fitted.device.type):
                loaded.device = device  # that of the fit need not be here
            seed = learned["seed"]
            check_whole("seed", seed, 0, 2**64 - 1)
            features = [from_json(name) for name in learned["features"]]
            Applicability.of(loaded.applicable_if)
            loaded._answers = read_answers(learned.get("answers", []))  # earlier files have none
            for formula in (loaded.derived or {}).values():
                Expression(cast("str", formula))  # no function comes from a file
        except (PSMError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
            raise CorruptFileError(f"{what} describes no imputer: {e!r}") from None
        loaded.schema_, loaded.fitted_, loaded.seed_ = schema, fitted, seed
        loaded.warnings_ = fitted.warnings
        loaded.n_sets_, loaded.n_features_in_ = fitted.spec.n_sets, len(features)
        loaded.feature_names_in_ = np.empty(len(features), dtype=object)
        loaded.feature_names_in_[:] = features
        return loaded

    def __repr__(self) -> str:
        defaults = PSMImputer().get_params()
        given = {k: v for k, v in self.get_params().items() if v != defaults[k]}
        return f"PSMImputer({', '.join(f'{k}={v!r}' for k, v in given.items())})"

    def fit(
        self,
        df: pd.DataFrame | Source,
        y: object = None,  # noqa: ARG002
        *,
        sample_rows: int = 100_000,
        row_key: Hashable | None = None,
        filesystem: object = None,
        engine: Engine = "local",
        workers: int | None = None,
    ) -> Self:
        """Learn the model of a table.

        Parameters
        ----------
        df : DataFrame, shape (n_rows, n_columns), or Parquet
            Not changed. Parquet is a path, a list of them, a URI or a
            ``pyarrow.dataset.Dataset``, of any size: a random sample of its rows is learnt.
        y : object, optional
            Not used; for scikit-learn.
        sample_rows : int, default 100000
            Rows of Parquet to learn: those whose keys have the smallest hashes, and rows that
            show a level, an extreme or a fractional number that these lack. Memory holds the
            sample and one row group.
        row_key : hashable, optional
            Column of Parquet that identifies a row; by default its position.
        filesystem : object, optional
            Of pyarrow or fsspec, for Parquet.
        engine : {"local", "ray"}, default "local"
            Where the members are trained, once their structure is chosen here: on this machine,
            or as tasks of Ray. A member is the same up to rounding, whichever task trains it.
        workers : int, optional
            Tasks of Ray; by default as many as its cluster has processors, or GPUs.

        Returns
        -------
        PSMImputer
            Itself.

        Raises
        ------
        SchemaError, SupportError
            If the table cannot be modelled; see :func:`psmimpute.infer_schema`.
        ConfigError
            If an option is out of its range.
        StorageError
            If Parquet cannot be read.
        TrainingInterruptedError
            If training was interrupted from the keyboard.

        Warns
        -----
        ExactRelationWarning
            If a column with gaps is a linear function of others to the last digit, or its level
            follows from another column; also where one of those has gaps.
        NeverTogetherWarning
            If no row shows two columns together.
        SkipPatternWarning
            If a column has no value, or zeros alone, in all rows of a level of another.

        Examples
        --------
        >>> psm.PSMImputer(m=2, seed=1, n_sets=1, fit=psm.FitConfig(max_steps=5)).fit(df).n_sets_
        1
        """
        check_options(self.get_params())
        if isinstance(df, str | PathLike | list | Dataset):
            check_whole("sample_rows", sample_rows, 1, 2**31)
            drawn = secrets.randbits(32) if self.seed is None else int(self.seed)
            source = ParquetSource(df, filesystem)
            df = sample_from(source, sample_rows, seed=drawn, row_key=row_key)
        train = _training_of(engine, workers)
        with remembered():
            return self._learn(df, self._infer_schema(df), train)

    def _infer_schema(self, df: pd.DataFrame) -> TableSchema:
        return schema_with_derived(
            df, self.derived, kinds=self.kinds, exclude=self.exclude, bounds=self.bounds
        )

    def _encode(self, df: pd.DataFrame, unseen: Unseen = "error") -> EncodedTable:
        """Encode a table, cells to which a column does not apply marked."""
        applicability = Applicability.of(self.applicable_if)
        return encode_rows(self.schema_, df, unseen=unseen, applicability=applicability)

    def _learn(
        self, df: pd.DataFrame, schema: TableSchema, train: Training = train_members
    ) -> Self:
        self.schema_: TableSchema = schema
        self.seed_: int = secrets.randbits(32) if self.seed is None else int(self.seed)
        with remembered() as told:
            read_derived(self.derived, df)
            warn_of_exact_relations(df, schema)
            warn_of_determined_levels(df, schema)
            table = self._encode(df)
            warn_of_separate_columns(table, schema)
            warn_of_skip_patterns(table, schema)
            self.fitted_: FittedModel = self._fit_table(table, train=train)
            self._answers: Answers = {}
            if self.applicable_if:
                rows = self.row_imputer(seed=self.seed_)
                self._answers = learn_answers(rows, df, table, derived=self.derived or {})
            self.warnings_: tuple[str, ...] = tuple(told)
        self.n_sets_: int = self.fitted_.spec.n_sets
        self.n_features_in_: int = df.shape[1]
        self.feature_names_in_: npt.NDArray[Any] = np.asarray(df.columns, dtype=object)
        return self

    def _fit_table(
        self, table: EncodedTable, n_members: int | None = None, train: Training = train_members
    ) -> FittedModel:
        schema = self.schema_
        members = n_members or (self.m if self.members is None else self.members)
        return fit_model(
            table,
            n_columns=len(schema.columns),
            pi=pi_by_column(self.pi, schema, table.observed_cells),
            n_members=members,
            n_sets=None if self.n_sets == "auto" else self.n_sets,
            missingness=self.missingness,
            selection_effects=effects_by_output(
                self.selection_effect,
                schema,
                missingness=self.missingness,
                n_sets=None if self.n_sets == "auto" else int(self.n_sets),
            ),
            model=self.model,
            fit=self._fit_config,
            seed=self.seed_,
            device=self.device,
            progress=Progress(self.progress),
            train=train,
        )

    def _check_fitted(self) -> FittedModel:
        if not hasattr(self, "fitted_"):
            raise NotFittedError("this PSMImputer is not fitted yet: call fit(df) first")
        return self.fitted_

    def impute(
        self,
        df: pd.DataFrame,
        m: int | None = None,
        *,
        seed: int | None = None,
        where: Where | None = None,
        row_key: Hashable | None = None,
        unseen: Unseen = "error",
        absent: Literal["error", "missing"] = "error",
    ) -> MultiplyImputed:
        """Draw multiple imputations of a table under the fitted model.

        Parameters
        ----------
        df : DataFrame
            The table that was fitted, or new rows with its columns. Not changed.
        m : int, optional
            Number of imputations; the constructor's by default.
        seed : int, optional
            Of the draws; that of the fit by default.
        where : DataFrame or ndarray of bool, or {"missing", "observed", "all"}, optional
            Cells to impute, as in mice; missing ones are imputed in any case. The values of
            observed cells that are chosen are hidden from the draws, though not from the fit.
        row_key : hashable, optional
            Column that identifies a row. A row's imputations depend on (model, seed, key) alone:
            they are the same alone or in a batch, in any order. By default the key is the
            position.
        unseen : {"error", "missing"}, default "error"
            What becomes of a cell whose level was not seen in training: an error, or it is
            imputed as if it were missing; ``data`` keeps it and ``where`` tells of it.
        absent : {"error", "missing"}, default "error"
            What becomes of a modelled column that `df` lacks: an error, or it is appended and
            imputed. Columns that are not modelled are passed through.

        Returns
        -------
        MultiplyImputed
            The data and m imputations of them.

        Raises
        ------
        NotFittedError
            If :meth:`fit` has not been called.
        SchemaError, SupportError
            If the table does not fit the one that was learned.
        ConfigError
            If `m` or `seed` is out of its range.

        Warns
        -----
        NoMissingDataWarning
            If no cell is missing: the imputations are copies.
        LowESSWarning
            If the importance weights of more than a tenth of the rows are poor.
        NegativeImputationWarning
            If numbers were imputed below zero where none was observed below it, and neither a
            kind nor bounds were given for the column.
        PileUpWarning
            If many observed values of a column of numbers are its largest or smallest.

        Examples
        --------
        >>> imputer.impute(df.iloc[:5], m=3, seed=0).complete(3).shape
        (5, 4)
        """
        self._check_fitted()
        m = self.m if m is None else m
        check_m(m)
        seed = self.seed_ if seed is None else seed
        check_whole("seed", seed, 0, 2**64 - 1)
        m, seed = int(m), int(seed)
        data = conform(self.schema_, df, absent=absent)
        rows = self.row_imputer(seed=seed, unseen=unseen)
        given = {*df.columns}  # what was not delivered was not left unanswered
        asked = {text for text, of in rows.applicability.by_formula.items() if given >= {*of}}
        rows = replace(rows, answers={t: ab for t, ab in rows.answers.items() if t in asked})
        return self._impute_rows(data, rows, row_key, where, m)

    def _impute_rows(
        self,
        data: pd.DataFrame,
        rows: RowImputer,
        row_key: Hashable | None,
        where: Where | None,
        m: int,
    ) -> MultiplyImputed:
        with remembered() as told:
            table, keys = rows.encode(data), row_keys(data, row_key)
            chosen = chosen_cells(where, data, self.schema_.column_names, table.observed_cells)
            if len(data) and not (table.missing_cells | chosen).any():
                warn(_NO_GAPS, NoMissingDataWarning)
            with Progress(self.progress).stage("drawing imputations") as on_rows:
                found = rows.impute(table, keys, m, chosen=chosen, on_rows=on_rows)
                redraw_contradictions(
                    rows, data, table, keys, found, derived=self.derived or {}, chosen=chosen
                )
            imp = self._assemble(data, found, m=m, seed=rows.seed)
            imp.info = replace(
                imp.info,
                extend=partial(self._extend, data, rows, row_key, where),
                source=ModelSource(self, data, m, rows.seed, where, row_key, rows.unseen),
                declared=self.declared(chosen),
            )
            derived = read_derived(self.derived, data)
            imp = finish(imp, derived=derived, applicability=rows.applicability)
            warn_of_derived(imp)
        imp.info = replace(imp.info, warnings=tuple(dict.fromkeys((*self.warnings_, *told))))
        return imp

    def row_imputer(self, *, seed: int, unseen: Unseen = "error") -> RowImputer:
        """Return what imputes batches of rows: for engines that bring their own tables.

        Parameters
        ----------
        seed : int
            Of the draws.
        unseen : {"error", "missing"}, default "error"
            As in :meth:`impute`.

        Returns
        -------
        RowImputer
            Callable on batches; it pickles.

        Raises
        ------
        NotFittedError
            If :meth:`fit` has not been called.
        ConfigError
            If `unseen` is unknown.

        Examples
        --------
        >>> type(imputer.row_imputer(seed=0)).__name__
        'RowImputer'
        """
        if unseen not in ("error", "missing"):
            raise ConfigError(f"unseen must be 'error' or 'missing', got {unseen!r}")
        return RowImputer(
            self.schema_,
            self._check_fitted(),
            self._fit_config.n_draw_samples,
            seed,
            unseen,
            Applicability.of(self.applicable_if),
            self._answers,
        )

    def declared(self, chosen: npt.NDArray[np.bool_] | None = None) -> dict[str, str]:
        """Say what was declared beyond the defaults, for the report.

        Parameters
        ----------
        chosen : ndarray of bool, optional
            Observed cells that were imputed.

        Returns
        -------
        dict of str to str
            Titles and what was declared, in words.

        Examples
        --------
        >>> psm.PSMImputer(derived={"ratio": "chl / bmi"}).declared()
        {'pi': '0.5', 'Derived': 'ratio: chl / bmi'}
        """
        found = {"pi": repr(self.pi)} if self.missingness == "shared" else {}
        for title, given in (
            ("Applicable if", self.applicable_if),
            ("Derived", self.derived),
            ("Selection effects given", self.selection_effect),
        ):
            if given:
                found[title] = "; ".join(f"{name}: {_in_words(v)}" for name, v in given.items())
        if chosen is not None and chosen.any():
            found["Observed cells imputed"] = str(int(chosen.sum()))
        return found

    def _assemble(
        self,
        data: pd.DataFrame,
        found: RowDraws,
        *,
        m: int,
        seed: int,
    ) -> MultiplyImputed:
        fitted, draws = self._check_fitted(), found.draws
        positions: dict[Hashable, int] = {name: i for i, name in enumerate(data.columns)}
        where = np.zeros(data.shape, dtype=bool)
        values: dict[int, npt.NDArray[Any]] = {}
        for j, cells in found.values.items():
            position = positions[self.schema_.columns[j].name]
            where[:, position] = found.missing[:, j]
            values[position] = cells
        warn_of_imputations(
            data,
            self.schema_,
            found,
            n_weights=self._fit_config.n_draw_samples,
            stated={*(self.kinds or {}), *(self.bounds or {})},
        )
        n_members = fitted.model.n_members
        return MultiplyImputed(
            data=data,
            schema=self.schema_,
            where=where,
            values=values,
            member_of=np.arange(m) % n_members,
            pattern_set_draws=draws.sets,
            pattern_set_probabilities=draws.set_probabilities,
            info=ImputationInfo(
                seed=seed,
                missingness=self.missingness,
                n_sets=self.n_sets_,
                n_sets_reason=fitted.reason,
                members=n_members,
                device=str(fitted.device),
                software=f"psmimpute {version('psmimpute')}",
                history=fitted.history,
                ess=draws.ess,
                pareto_k=draws.pareto_k,
            ),
        )

    def _extend(
        self,
        data: pd.DataFrame,
        rows: RowImputer,
        row_key: Hashable | None,
        where: Where | None,
        m: int,
    ) -> MultiplyImputed:
        """Impute anew with more imputations; the earlier ones come back as they were.

        Further members can only be trained on the rows that were fitted. Others are imputed by
        the members there are, in turn.
        """
        owner = self
        if self.members is None and m > rows.fitted.model.n_members:
            with remembered():  # the rows are encoded again below, and warned of there
                table = rows.encode(data)
            if fingerprint(table) == rows.fitted.fingerprint:
                progress = Progress(self.progress)
                grown = rows.fitted.with_members(
                    table, m, fit=self._fit_config, seed=self.seed_, progress=progress
                )
                rows = replace(rows, fitted=grown)
                owner = PSMImputer().set_params(**self.get_params())
                owner.__dict__.update(self.__dict__)
                owner.fitted_ = grown
        return owner._impute_rows(data, rows, row_key, where, m)

    def transform(
        self, df: pd.DataFrame, *, n_samples: int | Literal["auto"] = "auto"
    ) -> pd.DataFrame:
        """Fill each gap once, by its conditional mean or its most probable level.

        For prediction and for looking; standard errors from data so completed are too small.

        Parameters
        ----------
        df : DataFrame
            The table that was fitted, or new rows with its columns. Not changed.
        n_samples : int or "auto", default "auto"
            Importance samples of each member; memory does not grow with them. ``"auto"`` takes
            1,000 over all members, 40 of each at least.

        Returns
        -------
        DataFrame
            A copy with no gap in a modelled column; dtypes are kept, so means of whole-number
            columns are rounded where the dtype holds no fractions.

        Raises
        ------
        NotFittedError
            If :meth:`fit` has not been called.
        SchemaError, SupportError
            If the table does not fit the one that was learned.
        ConfigError
            If `n_samples` is less than 1.

        Examples
        --------
        >>> int(imputer.transform(df, n_samples=20).isna().sum().sum())
        0
        """
        fitted = self._check_fitted()
        if n_samples != "auto" and n_samples < 1:
            raise ConfigError(f"n_samples must be at least 1, got {n_samples}")
        table = self._encode(df)
        frame = fill_once(
            df, table, schema=self.schema_, fitted=fitted, seed=self.seed_, n_samples=n_samples
        )
        DerivedColumns(read_derived(self.derived, df)).compute(frame, 1)
        return frame

    def fit_transform(self, df: pd.DataFrame, y: object = None) -> pd.DataFrame:  # noqa: ARG002
        """Fit, then fill each gap once.

        Parameters
        ----------
        df : DataFrame
            The table; see :meth:`fit`, with the errors listed there. Not changed.
        y : object, optional
            For scikit-learn; not looked at.

        Returns
        -------
        DataFrame
            What :meth:`transform` returns.

        Examples
        --------
        >>> quick = psm.PSMImputer(m=2, seed=1, n_sets=1, fit=psm.FitConfig(max_steps=5))
        >>> quick.fit_transform(df).shape
        (25, 4)
        """
        return self.fit(df).transform(df)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[Any]:  # noqa: ARG002
        """Return the names of the columns that :meth:`transform` returns.

        Parameters
        ----------
        input_features : object, optional
            For scikit-learn; not looked at.

        Returns
        -------
        ndarray of object
            The columns that were fitted, and derived ones that are new.

        Raises
        ------
        NotFittedError
            If :meth:`fit` has not been called.

        Examples
        --------
        >>> imputer.get_feature_names_out().tolist()
        ['age', 'bmi', 'hyp', 'chl']
        """
        self._check_fitted()
        names = [*self.feature_names_in_]
        names += [name for name in self.derived or {} if name not in names]
        found = np.empty(len(names), dtype=object)
        found[:] = names
        return found

    def set_output(self, *, transform: str | None = None) -> Self:
        """Accept the pandas output that :meth:`transform` has in any case, for pipelines.

        Parameters
        ----------
        transform : {"pandas", "default"}, optional
            As in scikit-learn.

        Returns
        -------
        PSMImputer
            This object.

        Raises
        ------
        ConfigError
            If another output is asked for.

        Examples
        --------
        >>> imputer.set_output(transform="pandas") is imputer
        True
        """
        if transform not in (None, "default", "pandas"):
            raise ConfigError(f"transform={transform!r}: rows come back as pandas")
        return self


def impute(
    df: pd.DataFrame,
    m: int = 20,
    *,
    seed: int | None = None,
    missingness: Missingness = "shared",
    n_sets: int | Literal["auto"] = "auto",
    pi: Pi = 0.5,
    members: int | None = None,
    kinds: Kinds | None = None,
    exclude: Iterable[Hashable] = (),
    bounds: Bounds | None = None,
    derived: Derived | None = None,
    applicable_if: Conditions | None = None,
    where: Where | None = None,
    selection_effect: Effects | None = None,
    device: str = "auto",
    progress: bool | None = None,
    model: ModelConfig = ModelConfig(),  # noqa: B008  frozen
    fit: FitConfig = FitConfig(),  # noqa: B008  frozen
) -> MultiplyImputed:
    """Impute the gaps of a table m times.

    Also ``df.psm.impute``. Trains a deep generative pattern-set mixture model, one member on
    its own bootstrap resample for each imputation, and draws every missing cell from it.

    Parameters
    ----------
    df : DataFrame, shape (n_rows, n_columns)
        Not changed.
    m : int, default 20
        Number of imputations.
    seed, missingness, n_sets, pi, members, kinds, exclude, bounds, derived, applicable_if
        See :class:`PSMImputer`.
    where : DataFrame or ndarray of bool, or {"missing", "observed", "all"}, optional
        See :meth:`PSMImputer.impute`.
    selection_effect, device, progress
        See :class:`PSMImputer`.
    model : ModelConfig
        Architecture and objective.
    fit : FitConfig
        Training and drawing.

    Returns
    -------
    MultiplyImputed
        The data and the m imputations: ``complete``, ``fit``, ``pool``, ``plot``.

    Raises
    ------
    SchemaError, SupportError
        If the table cannot be modelled; the message names column and row, and the remedy.
    ConfigError
        If an option is out of its range.
    TrainingInterruptedError
        If training was interrupted from the keyboard.

    Warns
    -----
    NoMissingDataWarning
        If no cell is missing: the imputations are copies.
    LowESSWarning, ConvergenceWarning, ConstantColumnWarning, SparseColumnWarning
        Each for its cause.
    ExactRelationWarning, NeverTogetherWarning, SkipPatternWarning
        As in :meth:`PSMImputer.fit`.
    NegativeImputationWarning, PileUpWarning
        As in :meth:`PSMImputer.impute`.

    References
    ----------
    .. [1] Ghalebikesabi, S., Cornish, R., Holmes, C. and Kelly, L. J. (2021). Deep generative
       missingness pattern-set mixture models. AISTATS, PMLR 130, 3727-3735.
    .. [2] Rubin, D. B. (1987). Multiple imputation for nonresponse in surveys. Wiley.

    Examples
    --------
    One pattern set and five training steps keep it short; leave both out for real work.

    >>> import psmimpute as psm
    >>> quick = {"n_sets": 1, "fit": psm.FitConfig(max_steps=5)}
    >>> imp = psm.impute(psm.load_nhanes2(), m=2, seed=1, **quick)
    >>> imp.m, int(imp.complete(1).isna().sum().sum())
    (2, 0)
    """
    imputer = PSMImputer(
        m,
        seed=seed,
        missingness=missingness,
        n_sets=n_sets,
        pi=pi,
        members=members,
        kinds=kinds,
        exclude=exclude,
        bounds=bounds,
        derived=derived,
        applicable_if=applicable_if,
        selection_effect=selection_effect,
        device=device,
        progress=progress,
        model=model,
        fit=fit,
    )
    check_options(imputer.get_params())
    with remembered() as told:
        schema = imputer._infer_schema(df)
        nothing_chosen = where is None or (isinstance(where, str) and where == "missing")
        if not nothing_chosen or any(column.n_missing for column in schema.columns):
            return imputer._learn(df, schema).impute(df, m, where=where)
        imp = _copies(df, schema, m=m, missingness=missingness)
        imp = finish(imp, derived=read_derived(derived, df), applicability=Applicability(()))
        imp.info = replace(imp.info, warnings=tuple(told))
        return imp


def _copies(
    df: pd.DataFrame, schema: TableSchema, *, m: int, missingness: Missingness
) -> MultiplyImputed:
    warn(_NO_GAPS, NoMissingDataWarning)
    return MultiplyImputed(
        data=df.copy(),
        schema=schema,
        where=np.zeros(df.shape, dtype=bool),
        values={},
        member_of=np.arange(m),
        info=ImputationInfo(
            missingness=missingness,
            software=f"psmimpute {version('psmimpute')}",
        ),
    )


def _in_words(value: object) -> str:
    return "by a function" if callable(value) else str(value)


def _training_of(engine: Engine, workers: int | None) -> Training:
    if engine not in ("local", "ray"):
        raise ConfigError(f"engine must be 'local' or 'ray', got {engine!r}")
    if workers is not None:
        check_whole("workers", workers, 1, 2**31)
    return train_members if engine == "local" else RayTraining(workers)
