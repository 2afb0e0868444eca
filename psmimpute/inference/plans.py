"""How long and how finely each stage of a fit is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from psmimpute.inference.config import FitConfig
from psmimpute.inference.trainer import Plan
from psmimpute.model.encoders import SMOOTHED_DIM
from psmimpute.model.spec import ModelSpec

_N_MEMBER_LINEAR_STEPS = 120
_N_LINEAR_SAMPLES = 2
# Self-masking shows in the shape of what was seen alone. Training follows so weak a signal with
# more samples and more steps, and the more so where seen columns may explain the gaps as well:
# samples, and steps as a multiple of what other models take.
_SELECTION_EFFORT, _SELECTION_EFFORT_BESIDE_COVARIATES = (4, 2), (8, 4)


@dataclass(frozen=True, slots=True)
class TrainingPlans:
    """Plans of the stages.

    Attributes
    ----------
    linear, deep : Plan
        Of the common fit without and with networks.
    more_sets : Plan
        Of a common fit that starts from one with networks and fewer sets.
    members : Plan
        Of the members.
    """

    linear: Plan
    deep: Plan
    more_sets: Plan
    members: Plan


def plan_training(n_rows: int, latent_dim: int, fit: FitConfig) -> TrainingPlans:
    """Plan the steps and samples of each stage for a table of `n_rows` rows.

    With fewer samples a looser bound straightens the decoder. Tables that are seen whole in every
    step keep fewer where z has many dimensions: their networks are seldom chosen.
    """
    batch_rows = fit.rows_of_step(n_rows)
    whole = fit.rows_at_once(n_rows) == n_rows
    linear = Plan(200 if whole else 300, _N_LINEAR_SAMPLES, every=10 if whole else 20)
    n_steps = int(np.clip(40 * n_rows / batch_rows, 400, 2500))
    n_samples, n_fine = (8, 4) if whole else (8, 8)
    if whole and latent_dim > SMOOTHED_DIM:
        n_samples, n_fine = 4, 2
    if fit.n_samples != "auto":
        n_samples = n_fine = fit.n_samples
    n_members = 120 if whole else 150 if n_rows < 2_000 else 300
    if fit.max_steps != "auto":
        n_steps, n_members = fit.max_steps, min(n_members, fit.max_steps)
        linear = replace(linear, n_steps=min(linear.n_steps, fit.max_steps))
    deep = Plan(n_steps, n_samples, every=max(5, n_steps // 40))
    members = Plan(n_members, n_fine, every=max(1, n_members // 5), rate=0.5, stop_early=False)
    n_more = max(1, 2 * n_steps // 5)
    more_sets = replace(deep, n_steps=n_more, every=max(5, n_more // 20))
    return TrainingPlans(linear, deep, more_sets, members)


def member_plan(spec: ModelSpec, n_rows: int, fit: FitConfig) -> Plan:
    """Return the plan of the members of a chosen structure.

    Parameters
    ----------
    spec : ModelSpec
    n_rows : int
        Rows of the table.
    fit : FitConfig

    Returns
    -------
    Plan
    """
    plan = plan_training(n_rows, spec.latent_dim, fit).members
    if spec.hidden_dim > 0:
        return plan
    n_steps = min(plan.n_steps, _N_MEMBER_LINEAR_STEPS)
    plan = replace(plan, n_steps=n_steps, n_samples=_N_LINEAR_SAMPLES)
    return with_selection_effort(plan, spec, fit)


def with_selection_effort(plan: Plan, spec: ModelSpec, fit: FitConfig) -> Plan:
    """Return the plan of a model without networks, with what self-masking takes more.

    Parameters
    ----------
    plan : Plan
        Without it.
    spec : ModelSpec
    fit : FitConfig

    Returns
    -------
    Plan
    """
    if spec.missingness != "selection":
        return plan
    beside = spec.explains_gaps and spec.complete_inputs
    n_samples, more = _SELECTION_EFFORT_BESIDE_COVARIATES if beside else _SELECTION_EFFORT
    n_steps = more * plan.n_steps
    if fit.max_steps != "auto":
        n_steps = min(n_steps, fit.max_steps)
    return replace(
        plan,
        n_steps=n_steps,
        n_samples=n_samples,
        every=more * plan.every,
        rate=1.0,
        same_noise=True,
    )
