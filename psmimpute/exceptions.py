"""Errors and warnings raised by psmimpute.

Every error is a :class:`PSMError`, every warning a :class:`PSMWarning`, so a caller can
catch or silence the whole package, or one cause of trouble by name.
"""


class PSMError(Exception):
    """Base class of the errors of psmimpute."""


class SchemaError(PSMError, ValueError):
    """A table or a column cannot be modelled as asked."""


class SupportError(PSMError, ValueError):
    """An observed value lies outside the support of its column's kind."""


class ConfigError(PSMError, ValueError):
    """An option has a value that it cannot have."""


class NotFittedError(PSMError, RuntimeError):
    """An imputer was asked for what it only knows once it is fitted."""


class TrainingError(PSMError, RuntimeError):
    """Training could not be brought to an end."""


class TrainingInterruptedError(TrainingError):
    """Training was stopped by the user; nothing was imputed."""


class ImputationError(PSMError, ValueError):
    """A multiply-imputed data set was asked for what it cannot give."""


class PoolingError(PSMError, ValueError):
    """The analyses cannot be pooled: too few of them, or they do not match."""


class StorageError(PSMError, OSError):
    """A stored model or data set cannot be read or written."""


class CorruptFileError(StorageError):
    """A stored file is truncated, was tampered with, or is none of ours."""


class NewerFormatError(StorageError):
    """A stored file was written by a later version of the package."""


class NotStorableError(StorageError):
    """Something cannot be stored, because it has no form as data."""


class OtherJobError(StorageError):
    """The target holds the output of another job, or files that are none of ours."""


class PSMWarning(UserWarning):
    """Base class of the warnings of psmimpute."""


class NoMissingDataWarning(PSMWarning):
    """Nothing is missing: every imputation is a copy of the data."""


class ConstantColumnWarning(PSMWarning):
    """A column has one observed value, which is what its gaps are filled with."""


class SparseColumnWarning(PSMWarning):
    """A column, or a level of it, was observed too rarely to be modelled well."""


class NumbersAsTextWarning(PSMWarning):
    """A column of text holds numbers, and is taken for labels without order."""


class SuspectValueWarning(PSMWarning):
    """A far number or an odd text looks like a code for a missing value."""


class ExactRelationWarning(PSMWarning):
    """A column is a function of others, to which imputed values keep only nearly."""


class NeverTogetherWarning(PSMWarning):
    """No row shows two columns together: how they hang together is assumed, and not learned."""


class SkipPatternWarning(PSMWarning):
    """A column has no value, or zeros alone, in all rows of a level, as if it did not apply."""


class LowESSWarning(PSMWarning):
    """Importance weights are so uneven that some rows' draws rest on few samples."""


class NegativeImputationWarning(PSMWarning):
    """Numbers were imputed below zero in a column in which none was observed below it."""


class PileUpWarning(PSMWarning):
    """Many observed values of a number are its largest or smallest, and imputed ones are spread."""


class ConvergenceWarning(PSMWarning):
    """Training ended before the out-of-bag loss had settled."""


class ImproperPoolingWarning(PSMWarning):
    """Imputations share a member, so the plain Rubin rules understate the variance."""


class PoolingWarning(PSMWarning):
    """The analyses could be pooled, with a caveat that the reader should know."""


class ExtrapolationWarning(PSMWarning):
    """A column was observed in no row of a pattern set: imputations there extrapolate."""


class DerivedMismatchWarning(PSMWarning):
    """A derived column does not fit what it is computed from."""


class NotApplicableWarning(PSMWarning):
    """A cell was observed in a row to which its column does not apply."""


class BoundedShiftWarning(PSMWarning):
    """Imputed values could not be shifted as far as was asked: their column has bounds."""


class NoEffectWarning(PSMWarning):
    """An option was varied on which the model at hand does not depend."""
