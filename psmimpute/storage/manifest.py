"""The manifest of a stored multiply-imputed data set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from psmimpute.bounded_json import dump_object, parse_object
from psmimpute.exceptions import CorruptFileError, NewerFormatError, StorageError
from psmimpute.storage.files import Folder
from psmimpute.table.schema import TableSchema

NAME = "_psmimpute.json"
FORMAT = 1
_MOST_BYTES = 2**30


@dataclass(frozen=True)
class Manifest:
    """What a stored data set is.

    Attributes
    ----------
    layout : {"long", "cells"}
    m : int
        Number of imputations.
    member_of : list of int
        Member that gave each imputation.
    schema : dict
        Of the modelled columns, from ``TableSchema.to_dict``.
    info : dict
        How the imputations were made.
    parts : list of dict
        For each piece: ``name``, ``n_rows`` and ``files`` with their sizes and checksums.
    imputed : list of int
        Positions of the columns that may have imputed cells.
    request : dict
        What was asked for, by which a job is known again.
    added : list of int
        Positions of the columns that were computed, and are not in the source.
    dtypes : dict of str to dict
        By position, dtypes of pandas that Parquet does not bring back.
    """

    layout: str
    m: int
    member_of: list[int]
    schema: dict[str, Any]
    info: dict[str, Any]
    parts: list[dict[str, Any]]
    imputed: list[int]
    request: dict[str, Any] = field(default_factory=dict)
    added: list[int] = field(default_factory=list)
    dtypes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, folder: Folder) -> None:
        """Write the manifest: from then on the data set is complete."""
        folder.write(NAME, dump_object({"format": FORMAT} | self.__dict__))

    @classmethod
    def read(cls, folder: Folder) -> Manifest:
        """Read the manifest of a folder.

        Raises
        ------
        StorageError
            If there is none: the job is not finished, or the folder is something else.
        CorruptFileError, NewerFormatError
            If it is damaged, or a later version wrote it.
        """
        if not folder.exists(NAME):
            unfinished = folder.exists("_job")
            why = "its imputation is not finished: run it again" if unfinished else "not there"
            raise StorageError(f"cannot read imputations from {folder}: {why}")
        state = parse_object(
            folder.read(NAME, most_bytes=_MOST_BYTES),
            what=folder.path(NAME),
            most_bytes=_MOST_BYTES,
        )
        found = state.pop("format", None)
        if not isinstance(found, int):
            raise CorruptFileError(f"{folder.path(NAME)} has no format number")
        if found > FORMAT:
            raise NewerFormatError(
                f"{folder} has format {found}, this version reads up to {FORMAT}: update psmimpute"
            )
        try:
            manifest = cls(**state)
            manifest._check()
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise CorruptFileError(f"{folder.path(NAME)} is damaged: {error!r}") from None
        return manifest

    def _check(self) -> None:
        kinds = {
            "layout": str, "m": int, "member_of": list, "schema": dict, "info": dict,
            "parts": list, "imputed": list, "request": dict, "added": list,
            "dtypes": dict,
        }  # fmt: skip
        for name, kind in kinds.items():
            if type(getattr(self, name)) is not kind:
                raise ValueError(f"{name} is no {kind.__name__}")
        if self.layout not in ("long", "cells") or len(self.member_of) != self.m:
            raise ValueError("layout or m")
        for part in self.parts:
            if set(part["name"].split("/")) & {"..", "."} or part["name"].startswith("/"):
                raise ValueError(f"{part['name']!r} is no name of a part")
            int(part["n_rows"])
        self.table_schema()

    def table_schema(self) -> TableSchema:
        """Return what the modelled columns are."""
        return TableSchema.from_dict(self.schema)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(int(part["n_rows"]) for part in self.parts)
