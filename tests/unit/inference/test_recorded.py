"""What is recorded on an accelerator: it gives what calls give, and asks nothing of the device."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from psmimpute.imputer import PSMImputer
from psmimpute.inference import covariates, trainer
from psmimpute.inference.config import FitConfig
from psmimpute.inference.recorded import Recorded
from psmimpute.model.config import ModelConfig

pytestmark = pytest.mark.filterwarnings("ignore::psmimpute.exceptions.PSMWarning")

# The number of a tensor, numbers from the program's memory, and shapes that hang on values.
_WAIT = ("_local_scalar_dense", "lift_fresh", "nonzero", "masked_select", "unique", "equal")


class _Waits(TorchDispatchMode):
    """Counts the operations that would wait for a device, or copy to it."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        indices = args[1] if name.startswith("aten.index.Tensor") else ()
        by_truth = any(i is not None and i.dtype == torch.bool for i in indices)
        if by_truth or any(word in name for word in _WAIT):
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


PUBLISHED = {"encoder": "network", "objective": "elbo", "evidence": "paper"}


@pytest.mark.parametrize(
    ("n_sets", "model"),
    [
        (1, {"hidden_dim": 0}),
        (3, {"hidden_dim": 4, "covariate_dim": 4}),
        (3, {"hidden_dim": 4, "latent_dim": 14}),
        (5, {"hidden_dim": 4}),
        (2, {"hidden_dim": 4, "decoders": "separate", **PUBLISHED}),
    ],
)
@pytest.mark.parametrize("missingness", ["ignorable", "shared", "selection"])
def test_a_training_step_waits_for_nobody(missingness, n_sets, model, every_family, monkeypatch):
    """A recorded step must not ask the device, and elsewhere each such question costs a stop."""
    waits, asked = _Waits(), []

    class Watched(Recorded):
        def __call__(self, *given):
            asked.append(len(given))
            with waits:
                return super().__call__(*given)

    for module in (trainer, covariates):
        monkeypatch.setattr(module, "Recorded", Watched)
    # LAPACK is asked whether it succeeded; accelerators factor such matrices without it.
    monkeypatch.setattr("psmimpute.model.small_cholesky._LARGE", 49)
    monkeypatch.setattr("psmimpute.model.cells._AT_ONCE", ())
    fit = FitConfig(max_steps=2, n_draw_samples=4)
    options = {"n_sets": n_sets, "missingness": missingness, "model": ModelConfig(**model)}
    PSMImputer(2, seed=1, fit=fit, progress=False, **options).fit(every_family)
    assert asked
    assert not waits.found


def test_the_watch_sees_what_waits():
    x = torch.arange(4.0)
    for question in (lambda: bool(x.any()), lambda: x[x > 1], lambda: x + torch.tensor([1.0])):
        with _Waits() as waits:
            question()
        assert waits.found


def test_elsewhere_the_function_is_called_as_it_is():
    calls = []
    given = torch.ones(2)
    function = Recorded(calls.append, records=False, forget=lambda: None)
    function(given)
    function(given)
    assert [call is given for call in calls] == [True, True]


def _asked_for(function, *, records, forget):
    return Recorded(function, records=False, forget=forget)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnAnAccelerator:
    """Replays of what was recorded."""

    def test_replays_follow_what_is_given_and_what_is_kept(self):
        weight = torch.ones(3, device="cuda", requires_grad=True)
        weight.grad = torch.zeros_like(weight)

        def descend(x, y):
            loss = (weight * x * y).sum()
            loss.backward()
            return loss.detach()

        recorded = Recorded(descend, records=True, forget=weight.grad.zero_)
        same = torch.tensor([1.0, 2.0, 3.0], device="cuda")
        total = torch.zeros(3, device="cuda")
        for step in range(1, 4):
            found = recorded(same, torch.full((3,), float(step), device="cuda"))
            with torch.no_grad():
                expected = step * (weight * same).sum()
                total += step * same
                weight.add_(1.0)
            torch.testing.assert_close(found, expected)
        torch.testing.assert_close(weight.grad, total)

    @pytest.mark.parametrize("n_sets", [1, 3, 5])
    @pytest.mark.parametrize("missingness", ["ignorable", "shared", "selection"])
    def test_training_by_replays_is_training(self, missingness, n_sets, every_family, monkeypatch):
        """The same losses, step by step, as when each operation is asked for."""
        df = every_family
        model = ModelConfig(hidden_dim=8, covariate_dim=8)
        options = {"n_sets": n_sets, "missingness": missingness, "model": model}
        options |= {"fit": FitConfig(max_steps=12), "progress": False, "device": "cuda"}
        found = []
        for records in (True, False):
            if not records:
                for module in (trainer, covariates):
                    monkeypatch.setattr(module, "Recorded", _asked_for)
            imputer = PSMImputer(3, seed=1, **options).fit(df)
            found.append(pd.DataFrame(imputer.impute(df).info.history))
        np.testing.assert_allclose(found[0]["oob_loss"], found[1]["oob_loss"], rtol=1e-3, atol=1e-3)
