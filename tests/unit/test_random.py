"""The counter-based generator against published answers, and the independence of its streams."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from psmimpute.random import Purpose, philox, row_uniforms, stream_seed

FALSE_ALARM = 1e-4


def _known_answers(reference_dir):
    for line in (reference_dir / "philox" / "known_answers.txt").read_text().splitlines():
        if not line.startswith("#"):
            yield [int(word, 16) for word in line.split()[2:]]


def _rows(n, first=0):
    return np.arange(first, first + n, dtype=np.uint64)


def test_philox_gives_the_published_answers(reference_dir):
    answers = list(_known_answers(reference_dir))
    assert len(answers) == 3
    for words in answers:
        counter = np.array(words[:4], dtype=np.uint64)[:, None]
        assert philox(counter, (words[4], words[5]))[:, 0].tolist() == words[6:]


def test_a_block_does_not_depend_on_the_blocks_beside_it(reference_dir):
    answers = [words for words in _known_answers(reference_dir) if words[4:6] == [0, 0]]
    counter = np.array([answers[0][:4], [1, 2, 3, 4]], dtype=np.uint64).T
    before = counter.copy()
    both = philox(counter, (0, 0))
    np.testing.assert_array_equal(both[:, 0], answers[0][6:])
    np.testing.assert_array_equal(both[:, 1:], philox(counter[:, 1:], (0, 0)))
    np.testing.assert_array_equal(counter, before)


def test_the_first_row_of_the_first_imputation_is_the_block_of_its_words():
    seed = 0x299F31D0A4093822
    counter = np.array([[7], [1], [0], [3 << 4 | int(Purpose.DRAW)]], dtype=np.uint64)
    words = philox(counter, (0xA4093822, 0x299F31D0))[:, 0]
    key = np.array([(1 << 32) | 7], dtype=np.uint64)
    found = row_uniforms(seed, imputation=3, rows=key, n=4, purpose=Purpose.DRAW)[0]
    np.testing.assert_allclose(found, words / 2**32, atol=2**-22)


@pytest.mark.parametrize("n", [1, 3, 4, 5, 9])
def test_uniforms_lie_in_the_open_interval_and_have_the_shape_asked_for(n):
    found = row_uniforms(0, imputation=0, rows=_rows(5000), n=n, purpose=Purpose.DRAW)
    assert found.shape == (5000, n)
    assert found.dtype == np.float32
    assert found.min() > 0
    assert found.max() < 1


def test_the_extreme_words_stay_inside_the_open_interval(monkeypatch):
    def extremes(counter, key):
        words = np.zeros_like(counter)
        words[::2] = 0xFFFFFFFF
        return words

    monkeypatch.setattr("psmimpute.random.philox", extremes)
    found = row_uniforms(0, imputation=0, rows=_rows(1), n=4, purpose=Purpose.DRAW)[0]
    assert 0 < found[1] < 1e-6
    assert 1 - 1e-6 < found[0] < 1


def test_more_numbers_a_row_leave_the_first_as_they_were():
    few = row_uniforms(3, imputation=2, rows=_rows(10), n=5, purpose=Purpose.SETS)
    many = row_uniforms(3, imputation=2, rows=_rows(10), n=23, purpose=Purpose.SETS)
    np.testing.assert_array_equal(many[:, :5], few)


def test_a_row_gets_its_numbers_in_any_company_and_order():
    everyone = row_uniforms(3, imputation=2, rows=_rows(100), n=6, purpose=Purpose.DRAW)
    order = np.random.default_rng(0).permutation(100)[:17]
    some = row_uniforms(3, imputation=2, rows=order.astype(np.uint64), n=6, purpose=Purpose.DRAW)
    np.testing.assert_array_equal(some, everyone[order])


def test_seeds_imputations_purposes_and_all_64_bits_of_a_key_give_other_numbers():
    streams = [
        row_uniforms(seed, imputation=i, rows=_rows(50, first), n=4, purpose=purpose)
        for seed, i, purpose, first in itertools.product(
            (0, 1, 1 << 32), (0, 1), (Purpose.DRAW, Purpose.MEAN), (0, 1 << 32)
        )
    ]
    for a, b in itertools.combinations(streams, 2):
        assert (a == b).mean() < 0.01


def test_uniforms_are_uniform_and_rows_imputations_and_positions_independent():
    n = 20_000
    draws = np.stack(
        [row_uniforms(11, imputation=i, rows=_rows(n), n=2, purpose=Purpose.DRAW) for i in range(2)]
    )
    u = draws.reshape(2, n, 2).transpose(0, 2, 1).reshape(4, n)
    for one in u:
        assert stats.kstest(one, "uniform").pvalue > FALSE_ALARM / 4
    # Neighbours in every direction: positions, imputations, rows.
    pairs = [(u[0], u[1]), (u[0], u[2]), (u[0, 1:], u[0, :-1])]
    for a, b in pairs:
        assert stats.spearmanr(a, b).pvalue > FALSE_ALARM / len(pairs)


def test_stream_seeds_differ_and_fit_every_generator():
    seeds = [
        stream_seed(seed, member=member, purpose=purpose)
        for seed in (0, 1, 2**63)
        for member in range(50)
        for purpose in (Purpose.RESAMPLE, Purpose.TRAINING, Purpose.START)
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
