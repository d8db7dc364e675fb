"""The default generator: one object, seeded alike at every start, and no global state of NumPy."""

import subprocess
import sys

import numpy as np
import pytest

import tinygrad_sm as tg
from tinygrad_sm import errors, nn
from tinygrad_sm.randomness import generator_or_default


def test_there_is_one_default_generator():
    generator = tg.default_generator()
    assert isinstance(generator, np.random.Generator)
    tg.seed(5)
    assert tg.default_generator() is generator


@pytest.mark.parametrize("n", [0, 1, 2**40])
def test_a_seed_gives_the_numbers_of_numpys_own_generator(n):
    tg.seed(n)
    np.testing.assert_array_equal(tg.default_generator().random(5), np.random.default_rng(n).random(5))
    tg.seed(n)
    np.testing.assert_array_equal(tg.default_generator().normal(size=3), np.random.default_rng(n).normal(size=3))


def test_a_seed_forgets_half_used_bits():
    """A float32 takes half of what the bit generator makes and keeps the other half for the next one."""
    tg.seed(1)
    expected = tg.default_generator().random(3, dtype=np.float32)
    tg.default_generator().random(dtype=np.float32)
    tg.seed(1)
    np.testing.assert_array_equal(tg.default_generator().random(3, dtype=np.float32), expected)


def test_two_seeds_give_different_numbers():
    tg.seed(1)
    first = tg.default_generator().random()
    tg.seed(2)
    assert tg.default_generator().random() != first


def test_everything_random_draws_from_it_when_nothing_else_is_handed_in():
    results = []
    for _ in range(2):
        tg.seed(7)
        model = nn.MLP([3, 4, 2], dropout=0.5)
        results.append([*model.state_dict().values(), nn.Dropout(0.5)(np.ones(9)), nn.init.xavier_normal((2, 2))])
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_every_start_of_python_gives_the_same_weights():
    code = "import tinygrad_sm as tg; print(tg.nn.Linear(2, 2).weight.data.tolist())"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    bound = 1 / np.sqrt(2)
    expected = np.random.default_rng(0).uniform(-bound, bound, (2, 2)).astype(np.float32)
    assert runs[0].stdout.strip() == str(expected.tolist())


def test_numpys_global_state_is_neither_read_nor_moved():
    np.random.seed(3)  # noqa: NPY002
    tg.seed(0)
    before = np.random.get_state()  # noqa: NPY002
    first = nn.MLP([3, 4, 2], dropout=0.5)(np.ones((2, 3), np.float32)).data
    after = np.random.get_state()  # noqa: NPY002
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]
    np.random.seed(4)  # noqa: NPY002
    tg.seed(0)
    np.testing.assert_array_equal(nn.MLP([3, 4, 2], dropout=0.5)(np.ones((2, 3), np.float32)).data, first)


def test_a_generator_argument_is_itself_or_the_default_one():
    generator = np.random.default_rng(0)
    assert generator_or_default(generator) is generator
    assert generator_or_default(None) is tg.default_generator()


@pytest.mark.parametrize("wrong", [0, 1, True, np.random, np.random.RandomState(0), np.random.PCG64(0), "seed"])
def test_anything_else_is_refused(wrong):
    makers = [
        lambda: nn.Linear(2, 2, generator=wrong),
        lambda: nn.Dropout(0.5, generator=wrong),
        lambda: nn.MLP([2, 2], generator=wrong),
        lambda: nn.init.kaiming_normal((2, 2), generator=wrong),
    ]
    for make in makers:
        with pytest.raises(errors.ArgumentError, match="generator=") as caught:
            make()
        assert "np.random.default_rng(0)" in caught.value.remedy
