"""Models that travel: what is saved comes back, and nothing else gets in."""

from __future__ import annotations

import datetime
import json
import struct
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load, save

from psmimpute.bounded_json import dump_object
from psmimpute.exceptions import (
    ConfigError,
    CorruptFileError,
    NewerFormatError,
    NotFittedError,
    NotStorableError,
    StorageError,
)
from psmimpute.imputer import PSMImputer
from psmimpute.inference.checkpoint import checksum_of, read_config
from psmimpute.inference.config import FitConfig
from psmimpute.model.config import ModelConfig
from psmimpute.saving import describe_options, read_options
from psmimpute.table.kinds import ColumnKind

pytestmark = pytest.mark.filterwarnings("ignore::psmimpute.exceptions.PSMWarning")
FAST = {"seed": 1, "fit": FitConfig(max_steps=3, n_draw_samples=4)}


def _table(n=60):
    """Every kind of column, with gaps."""
    rng = np.random.default_rng(5)
    hidden = rng.normal(size=n)
    df = pd.DataFrame(
        {
            "x": hidden,
            "count": rng.poisson(np.exp(0.5 * hidden)).astype(float),
            "spent": np.where(hidden > 0, np.exp(2 * hidden + rng.normal(size=n)), 0.0),
            "pos": np.exp(2 * hidden),
            "k": np.where(hidden > 0, "high", "low").astype(object),
            "city": pd.Categorical(rng.choice(["[a, b)", 'c"{', "ü"], n)),
            "size": pd.Categorical(rng.integers(0, 3, n), categories=[0, 1, 2], ordered=True),
            "yes": pd.array(hidden > 0.2, "boolean"),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 99, n), unit="D"),
            "at": pd.Timestamp("2020-01-01", tz="Europe/Paris")
            + pd.to_timedelta(rng.integers(0, 99, n), unit="h"),
            "took": pd.to_timedelta(rng.integers(1, 99, n), unit="s"),
            ("a", 1): 7.0,
        }
    )
    return df.mask(rng.random(df.shape) < 0.15)


@pytest.fixture(scope="module")
def table():
    return _table()


@pytest.fixture(scope="module")
def fitted(table):
    options = {"kinds": {"x": ColumnKind.CONTINUOUS}, "bounds": {"x": (None, 9)}, "pi": {"x": 0.3}}
    return PSMImputer(2, n_sets=2, model=ModelConfig(hidden_dim=4), **options, **FAST).fit(table)


@pytest.fixture(scope="module")
def tiny():
    rng = np.random.default_rng(0)
    df = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"]).mask(rng.random((30, 2)) < 0.2)
    df["c"] = np.where(rng.random(30) < 0.5, "u", "v")
    imputer = PSMImputer(2, n_sets=2, model=ModelConfig(hidden_dim=0), **FAST)
    return imputer.fit(df), df


def _same(a, b):
    assert a == b
    assert a.info.history == b.info.history
    np.testing.assert_array_equal(a.info.ess, b.info.ess)


def test_bounds_of_times_are_saved_whatever_says_them():
    ends = np.datetime64("2020-01-01"), pd.Timestamp("2021-01-01", tz="UTC")
    spans = np.timedelta64(2, "h"), "3 days"
    described = describe_options({"bounds": {"day": ends, "wait": spans}})
    assert read_options(json.loads(json.dumps(described))) == {
        "bounds": {
            "day": (pd.Timestamp("2020-01-01"), ends[1]),
            "wait": (pd.Timedelta("2h"), "3 days"),
        }
    }


def test_what_is_loaded_imputes_as_what_was_saved(table, fitted, tmp_path):
    path = fitted.save(tmp_path / "model.psm")
    assert [file.name for file in tmp_path.iterdir()] == ["model.psm"]
    loaded = PSMImputer.load(path)
    assert loaded.get_params() == fitted.get_params()
    assert loaded.schema_ == fitted.schema_
    assert loaded.feature_names_in_.tolist() == fitted.feature_names_in_.tolist()
    _same(loaded.impute(table), fitted.impute(table))
    pd.testing.assert_frame_equal(loaded.transform(table), fitted.transform(table))
    assert loaded.to_bytes() == path.read_bytes()


def test_what_is_loaded_can_be_extended(table, fitted):
    loaded = PSMImputer.from_bytes(fitted.to_bytes())
    more, expected = loaded.impute(table).extend(3), fitted.impute(table).extend(3)
    assert more.info.members == 3
    _same(more, expected)
    pd.testing.assert_frame_equal(more.complete(2), fitted.impute(table).complete(2))


def test_rows_that_were_not_fitted_are_extended_by_the_members_there_are(tiny):
    imputer, df = tiny
    more = imputer.impute(df.iloc[:9]).extend(3)
    assert more.info.members == 2
    assert more.member_of.tolist() == [0, 1, 0]


def test_labels_of_sets_do_not_depend_on_the_rows_imputed(tiny):
    imputer, df = tiny
    whole = imputer.impute(df)
    for rows in (slice(0, 1), slice(0, 7)):
        part = imputer.impute(df.iloc[rows])
        np.testing.assert_array_equal(part.pattern_set_draws, whole.pattern_set_draws[:, rows])
        pd.testing.assert_frame_equal(
            part.pattern_set_probabilities, whole.pattern_set_probabilities.iloc[rows]
        )


def test_what_cannot_be_saved_says_so(table, fitted, tmp_path):
    with pytest.raises(NotFittedError):
        PSMImputer().save(tmp_path / "model.psm")
    with pytest.raises(StorageError, match="cannot write"):
        fitted.save(tmp_path / "nowhere" / "model.psm")
    odd = PSMImputer.from_bytes(fitted.to_bytes()).set_params(kinds={"x": table})
    with pytest.raises(NotStorableError, match="option kinds cannot be stored"):
        odd.save(tmp_path / "model.psm")
    odd.set_params(kinds=None, derived={"z": lambda d: d["x"]})
    with pytest.raises(NotStorableError, match=r"option derived .* give a formula"):
        odd.save(tmp_path / "model.psm")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_read_says_so(fitted, tmp_path):
    with pytest.raises(StorageError, match=r"cannot read .*nothing"):
        PSMImputer.load(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="cannot be used here"):
        PSMImputer.from_bytes(fitted.to_bytes(), device="cuda:77")


def test_a_file_without_the_empty_tensors_of_later_options_is_read(tiny):
    _, df = tiny
    imputer = PSMImputer(2, missingness="selection", n_sets=1, **FAST).fit(df)
    dropped = []

    def older(tensors):
        dropped.extend(name for name, tensor in tensors.items() if not tensor.numel())
        for name in dropped:
            del tensors[name]

    loaded = PSMImputer.from_bytes(_forge(imputer.to_bytes(), _nothing, older))
    assert any("missingness.covariates" in name for name in dropped)
    _same(loaded.impute(df), imputer.impute(df))


def test_the_device_of_the_fit_is_not_that_of_the_loaded_model(tiny):
    """The file holds tensors without a device; what it says of one is for the reader."""
    imputer, df = tiny

    def from_elsewhere(state):
        state["trained_on"] = "cuda:3"
        state["imputer"]["options"]["device"] = "cuda:3"

    loaded = PSMImputer.from_bytes(_forge(imputer.to_bytes(), from_elsewhere), device="cpu")
    assert loaded.fitted_.device == torch.device("cpu")
    assert {p.device.type for p in loaded.fitted_.model.parameters()} == {"cpu"}
    assert {b.device.type for b in loaded.fitted_.model.buffers()} == {"cpu"}
    _same(loaded.impute(df), imputer.impute(df))
    assert loaded.device == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_fitted_on_a_gpu_imputes_alike_on_the_cpu(table):
    options = {"model": ModelConfig(hidden_dim=4), "n_sets": 2, **FAST}
    on_gpu = PSMImputer(2, device="cuda", **options).fit(table)
    on_cpu = PSMImputer.from_bytes(on_gpu.to_bytes(), device="cpu")
    there, here = on_gpu.impute(table), on_cpu.impute(table)
    for k in (1, 2):
        a, b = there.complete(k), here.complete(k)
        np.testing.assert_allclose(a["x"], b["x"], rtol=1e-3, atol=1e-3)
        assert (a["city"].astype(str) == b["city"].astype(str)).mean() > 0.98


@pytest.mark.parametrize("seed", range(200))
def test_damaged_files_are_refused_or_harmless(tiny, seed):
    """Bytes changed, cut out, repeated or cut off, at random places of the file."""
    data = tiny[0].to_bytes()
    rng = np.random.default_rng(seed)
    at, n = int(rng.integers(len(data))), int(rng.integers(1, 40))
    if seed % 2:  # half of them where the structure is
        at %= 8 + struct.unpack("<Q", data[:8])[0]
    noise = rng.bytes(n)
    mutated = [
        data[:at],
        data[:at] + data[at + n :],
        data[:at] + noise + data[at:],
        data[:at] + noise + data[at + n :],
        data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :],
    ][seed % 5]
    try:
        loaded = PSMImputer.from_bytes(mutated)
    except StorageError:
        return
    assert loaded.to_bytes() == data


def _nothing(_):
    pass


def _forge(data, change, tensors=_nothing):
    """Change what a file says and give it a checksum that fits, as an attacker would."""
    size = struct.unpack("<Q", data[:8])[0]
    entry = json.loads(data[8 : 8 + size])["__metadata__"]["psmimpute"]
    state = json.loads(entry.partition(" ")[2])
    change(state)
    found = dict(load(data))
    tensors(found)
    text = dump_object(state)
    return save(found, {"psmimpute": f"{checksum_of(text, found)} {text.decode()}"})


def _put(*path):
    *keys, last, value = path

    def change(state):
        for key in keys:
            state = state[key]
        state[last] = value

    return change


HOSTILE = [
    _put("spec", "config", "hidden_dim", 2**16),
    _put("spec", "config", "hidden_dim", 10**12),
    _put("spec", "config", "n_layers", 10**9),
    _put("spec", "config", "latent_dim", 10**9),
    _put("spec", "config", "latent_dim", 1.5),
    _put("spec", "config", "objective", "__import__('os')"),
    _put("spec", "config", "evil", 1),
    _put("spec", "n_sets", 10**9),
    _put("spec", "n_sets", True),
    _put("spec", "gappy", [0, 0]),
    _put("spec", "gappy", [-1]),
    _put("spec", "pi", [0.5]),
    _put("spec", "pi", [float("nan")] * 3),
    _put("spec", "missingness", "other"),
    _put("members", 10**6),
    _put("members", 3),
    _put("start", "members", -1),
    _put("schema", "columns", []),
    _put("schema", "columns", 0, "name", {"type": "evil", "value": 1}),
    _put("schema", "columns", 0, "name", {"type": "date", "value": "../../x"}),
    _put("schema", "columns", 0, "name", "b"),
    _put("schema", "columns", 0, "kind", "evil"),
    _put("schema", "columns", 0, "transform", None),
    _put("schema", "columns", 0, "transform", "scale", 0),
    _put("schema", "columns", 0, "transform", "scale", float("inf")),
    _put("schema", "columns", 0, "transform", "kind", "normal_scores"),
    _put("schema", "columns", 0, "support", [1, 0]),
    _put("schema", "columns", 0, "levels", ["a", "b"]),
    _put("schema", "columns", 2, "levels", ["u", "u"]),
    _put("schema", "columns", 2, "levels", [str(i) for i in range(50_000)]),
    _put("schema", "columns", 0, "extra", 1),
    _put("schema", "excluded", ["a"]),
    _put("spec", "products", [[99, 99]]),
    _put("spec", "products", [[0]]),
    _put("spec", "products", "x"),
    _put("history", [["x"]]),
    _put("history", 0, "step", "x" * 99),
    _put("warnings", [1]),
    _put("imputer", []),
    _put("imputer", "seed", "x"),
    _put("imputer", "options", "evil", 1),
    _put("imputer", "options", "m", -1),
    _put("imputer", "options", "model", {"config": "os", "fields": {}}),
    _put("imputer", "options", "fit", {"config": "FitConfig", "fields": {"max_steps": "x"}}),
    _put("imputer", "options", "fit", {"config": "FitConfig", "fields": {"max_steps": 2.0}}),
    _put("imputer", "options", "fit", {"config": "FitConfig", "fields": {"network_rate": "x"}}),
    _put("imputer", "options", "fit", {"config": "FitConfig", "fields": {"network_rate": True}}),
    _put("format", None),
]


@pytest.mark.parametrize("change", HOSTILE, ids=range(len(HOSTILE)))
def test_forged_files_are_refused(tiny, change):
    with pytest.raises(CorruptFileError):
        PSMImputer.from_bytes(_forge(tiny[0].to_bytes(), change))


@pytest.mark.parametrize("rate", ["auto", 0.4, 1])
def test_a_rate_of_networks_is_read_as_it_was_chosen(rate):
    fit = FitConfig(network_rate=rate)
    assert read_config(FitConfig, asdict(fit)) == fit


def test_a_configuration_of_numpy_numbers_can_be_stored():
    given = {"hidden_dim": np.int64(8), "mask_latent": np.bool_(1), "smoothing": np.bool_(0)}
    model = ModelConfig(**given)
    assert [type(getattr(model, name)) for name in given] == [int, bool, bool]
    assert read_config(ModelConfig, json.loads(json.dumps(asdict(model)))) == model
    fit = FitConfig(max_steps=np.int32(5), learning_rate=np.float32(0.5), weight_decay=0)
    assert read_config(FitConfig, json.loads(json.dumps(asdict(fit)))) == fit


def test_a_forger_who_changes_nothing_is_believed(tiny):
    data = tiny[0].to_bytes()
    assert PSMImputer.from_bytes(_forge(data, _nothing)).to_bytes() == data


@pytest.mark.parametrize("zone", ["dateutil//etc/passwd", "/etc/passwd", "../UTC", "tzlocal()"])
def test_a_time_zone_names_no_file(fitted, zone):
    columns = [str(column.name) for column in fitted.schema_.columns]
    change = _put("schema", "columns", columns.index("at"), "time", "zone", zone)
    with pytest.raises(CorruptFileError, match="time zone"):
        PSMImputer.from_bytes(_forge(fitted.to_bytes(), change))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model.decoder.loadings", torch.full((2, 1, 1), 1.0)),
        ("model.decoder.intercept", None),
        ("evil", torch.zeros(1)),
        ("model.evil", torch.zeros(1)),
        ("alignment", torch.zeros(2, 2, dtype=torch.int64)),
        ("latent_range", torch.zeros(1, 2, dtype=torch.float64)),
    ],
)
def test_tensors_of_another_shape_are_refused(tiny, name, value):
    def tensors(found):
        if value is None:
            found[name] = found[name] * torch.nan
        else:
            found[name] = value

    with pytest.raises(CorruptFileError):
        PSMImputer.from_bytes(_forge(tiny[0].to_bytes(), _nothing, tensors))


def test_a_later_format_is_told_apart_from_damage(tiny):
    with pytest.raises(NewerFormatError, match="format 5, this version reads up to 4: update"):
        PSMImputer.from_bytes(_forge(tiny[0].to_bytes(), _put("format", 5)))


def test_an_earlier_format_had_no_prior_variances(tiny):
    fitted, df = tiny

    def drop(found):
        for name in [name for name in found if name.endswith("prior_variance")]:
            del found[name]

    loaded = PSMImputer.from_bytes(_forge(fitted.to_bytes(), _put("format", 2), drop))
    _same(loaded.impute(df), fitted.impute(df))

    def forge(found):
        for name, value in found.items():
            if name.endswith("prior_variance"):
                found[name] = -value

    with pytest.raises(CorruptFileError, match="a variance is no variance"):
        PSMImputer.from_bytes(_forge(fitted.to_bytes(), _nothing, forge))


def test_an_earlier_format_is_refused_where_its_counts_had_another_noise():
    rng = np.random.default_rng(4)
    df = pd.DataFrame({"x": rng.normal(size=40), "k": rng.poisson(2.0, 40).astype(float)})
    df.loc[:6] = np.nan
    for kind in ("count", "continuous"):
        fitted = PSMImputer(
            2,
            seed=1,
            n_sets=1,
            kinds={"k": kind},
            model=ModelConfig(hidden_dim=0),
            fit=FitConfig(max_steps=3),
        ).fit(df)
        data = _forge(fitted.to_bytes(), _put("format", 1))
        if kind == "count":
            with pytest.raises(StorageError, match="counts had another noise: fit the model again"):
                PSMImputer.from_bytes(data)
        else:
            assert PSMImputer.from_bytes(data).seed == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95pickle",
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        struct.pack("<Q", 200_000) + b'{"a":' * 40_000,
        struct.pack("<Q", 40) + b'{"__metadata__":{"psmimpute":1,"sha256":1}}'[:40],
        struct.pack("<Q", 9008) + b'{"a":' + b"9" * 9000 + b"}  ",
    ],
    ids=range(8),
)
def test_files_that_are_no_model_are_refused(data):
    with pytest.raises(CorruptFileError):
        PSMImputer.from_bytes(data)


def test_dates_and_other_names_travel():
    rng = np.random.default_rng(1)
    df = pd.DataFrame(rng.normal(size=(20, 2)), columns=[datetime.date(2020, 1, 1), 3])
    df = df.mask(rng.random(df.shape) < 0.2)
    imputer = PSMImputer(2, n_sets=1, model=ModelConfig(hidden_dim=0), **FAST).fit(df)
    _same(PSMImputer.from_bytes(imputer.to_bytes()).impute(df), imputer.impute(df))
