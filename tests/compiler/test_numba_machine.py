"""The backend `numba` as machine code: it trains like the eager loop, is exact, and is found again on the disk."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, nn, optim
from tinygrad_sm.compiler import compile, compile_step, numba_code

pytestmark = pytest.mark.extra
RNG = np.random.default_rng(0)
BATCHES = [(RNG.standard_normal((24, 3)).astype(np.float32), RNG.integers(0, 4, 24)) for _ in range(5)]


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_SM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def machine():
    return numba_code._part("machine")


# Training.

OPTIMIZERS = {
    "sgd": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda params: optim.Adam(params, lr=0.01),
    "adamw": lambda params: optim.AdamW(params, lr=0.01),
}
OTHERS = {
    "nadam": lambda params: optim.NAdam(params, lr=0.01, weight_decay=0.01),
    "rmsprop": lambda params: optim.RMSprop(params, lr=0.01, alpha=0.9, centered=True, momentum=0.5, eps=1e-3),
    "adagrad": lambda params: optim.Adagrad(params, lr=0.01, lr_decay=0.01),
    "adadelta": lambda params: optim.Adadelta(params, weight_decay=0.01),
    "groups": lambda params: optim.AdamW(
        [{"params": params[::2], "betas": (0.5, 0.9)}, {"params": params[1::2], "lr": 0.002}], lr=0.01
    ),
}


def network(**options):
    return nn.MLP([3, 8, 8, 4], generator=np.random.default_rng(1), **options)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("options", [{}, {"activation": "tanh", "dropout": 0.25}], ids=["plain", "dropout"])
def test_training_is_that_of_the_eager_loop(make, options):
    trains_like_the_eager_loop(make, options)


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_training_by_other_optimisers_is_that_of_the_eager_loop(make):
    trains_like_the_eager_loop(make, {"activation": "tanh"})


def trains_like_the_eager_loop(make, options):
    model, twin = network(**options), network(**options)
    optimizer, other = make(list(model.parameters())), make(list(twin.parameters()))
    step = compile_step(lambda x, y: F.cross_entropy(model(x), y), optimizer, backend="numba")
    for i in range(200):
        x, y = BATCHES[i % len(BATCHES)]
        optimizer.lr = other.lr = 0.1 / (10 + i)  # a schedule
        other.zero_grad()
        loss = F.cross_entropy(twin(Tensor(x)), y)
        loss.backward()
        other.step()
        np.testing.assert_allclose(step(x, y), loss.item(), rtol=1e-4)
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-3, atol=1e-5, err_msg=name)


def test_clipped_steps_of_a_table_of_which_rows_are_taken_several_times():
    start = RNG.standard_normal((50, 6)).astype(np.float32)
    words, twin = nn.Parameter(start.copy()), nn.Parameter(start.copy())
    optimizer, other = optim.SGD([words], lr=1.0), optim.SGD([twin], lr=1.0)
    step = compile_step(lambda i: (words[i] ** 2).sum(), optimizer, backend="numba", clip_norm=0.5)
    for seed in range(4):
        indices = np.random.default_rng(seed).integers(0, 50, (7, 3))
        other.zero_grad()
        loss = (twin[indices] ** 2).sum()
        loss.backward()
        optim.clip_grad_norm([twin], 0.5)
        other.step()
        np.testing.assert_allclose(step(indices), loss.item(), rtol=1e-5)
    assert "NumPy call" not in step.report()
    np.testing.assert_allclose(words.data, twin.data, rtol=1e-4, atol=1e-6)


# Functions of one number.

RANGES = {
    "exp": [(-1, 1), (-80, 80), (-740, 700)],
    "expm1": [(-1e-3, 1e-3), (-1, 1), (-20, 50)],
    "log": [(0.5, 2), (1e-3, 1e3), (0, 1e-37), (1e30, 1e38)],
    "log1p": [(-1e-3, 1e-3), (-0.99, 3), (0, 1e5)],
    "tanh": [(-1e-3, 1e-3), (-1, 1), (-9, 9)],
}
SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1.0,
    -1.0,
    88.72,
    88.73,
    -103.9,
    709.7,
    709.8,
    -745.0,
    1e30,
    -1e30,
    0.5,
    -0.5,
]


@pytest.fixture(scope="module")
def functions():
    """All functions of one number, compiled as one."""
    names = list(RANGES)
    operations = [getattr(tg, name) for name in names]
    return names, compile(lambda x: tuple(operation(x) for operation in operations), backend="numba")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_of_one_number_are_exact_to_three_units_in_the_last_place(functions, dtype):
    names, compiled = functions
    rng = np.random.default_rng(0)
    for position, name in enumerate(names):
        for low, high in RANGES[name]:
            if high > np.finfo(dtype).max or (dtype == np.float32 and name == "exp" and low < -80):
                continue
            x = rng.uniform(low, high, 10_000).astype(dtype)
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                got = compiled(x)[position]
                exact = getattr(np, name)(x.astype(np.longdouble))
            units = np.abs(got.astype(np.longdouble) - exact) / np.spacing(np.abs(exact).astype(dtype))
            assert np.max(units) < 3, (name, low, high)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_of_one_number_at_infinity_and_beyond_their_domain(functions, dtype):
    names, compiled = functions
    x = np.resize(np.array(SPECIAL, dtype), 10_000)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, got in zip(names, compiled(x), strict=True):
            expected = getattr(np, name)(x)
            np.testing.assert_allclose(got, expected, rtol=1e-6 if dtype == np.float32 else 1e-14, err_msg=name)


# Compiled modules.

SCRIPT = """
import numpy as np, sys
from tinygrad_sm.compiler import compile, numba_code
import tinygrad_sm as tg
compiled = compile(lambda x: tg.exp(x).sum(), backend="numba")
x = np.arange(5.0)
compiled(x)
assert abs(compiled(x) - np.exp(x).sum()) < 1e-9
kernels = [value for value in compiled._latest.run.__globals__.values() if hasattr(value, "stats")]
print(sum(sum(kernel.stats.cache_hits.values()) for kernel in kernels), len(kernels))
"""


def run_script(cache):
    environment = os.environ | {"TINYGRAD_SM_CACHE": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    return tuple(map(int, done.stdout.split()))


def test_a_second_process_finds_the_machine_code_even_if_the_first_was_disturbed(tmp_path):
    assert run_script(tmp_path) == (0, 1)
    assert run_script(tmp_path) == (1, 1)
    for path in tmp_path.glob("__pycache__/*.nb?"):
        path.write_bytes(b"damaged")
    assert run_script(tmp_path) == (0, 1)
    assert run_script(tmp_path) == (1, 1)


def test_without_a_place_for_it_machine_code_is_made_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYGRAD_SM_CACHE", str(tmp_path / "file" / "cache"))
    compiled = compile(lambda x: x * 2 + 1, backend="numba")
    for _ in range(2):
        np.testing.assert_array_equal(compiled(np.arange(3.0)), [1, 3, 5])


# The BLAS.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_every_layout(dtype):
    def laid_out(array, kind):
        return {"C": array, "F": np.asfortranarray(array), "part": np.pad(array, 2)[2:-2, 2:-2]}[kind]

    shapes = (3, 4), (4, 5)
    kinds = [(a, b) for a in ("C", "F", "part") for b in ("C", "F", "part")]
    pairs = [
        [laid_out(RNG.standard_normal(s).astype(dtype), k) for s, k in zip(shapes, kind, strict=True)] for kind in kinds
    ]
    vectors = [RNG.standard_normal(4).astype(dtype), RNG.standard_normal(8).astype(dtype)[::2]]

    def function(*arrays):
        products = [x @ y for x, y in zip(arrays[0:18:2], arrays[1:18:2], strict=True)]
        return (
            *products,
            arrays[0] @ arrays[18],
            arrays[18] @ arrays[1],
            arrays[0] @ arrays[19],
            arrays[18] @ arrays[19],
        )

    arrays = [array for pair in pairs for array in pair] + vectors
    compiled = compile(function, backend="numba")
    compiled(*arrays)
    for got, expected in zip(compiled(*arrays), function(*arrays), strict=True):
        np.testing.assert_allclose(got, np.asarray(expected), rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-5)
    assert "NumPy call" not in compiled.report()


def test_the_blas_has_its_threads_back_after_a_call():
    alone = machine().ALONE
    if alone._library is None:
        return  # another BLAS than the one that comes with SciPy, which is left alone
    before = alone._call("get")
    with alone:
        assert alone._call("get") == 1
    assert alone._call("get") == before
    with pytest.raises(ZeroDivisionError), alone:
        raise ZeroDivisionError
    assert alone._call("get") == before


def test_large_products_on_several_threads():
    x, y = (RNG.standard_normal(shape).astype(np.float32) for shape in ((300, 400), (400, 600)))
    compiled = compile(lambda x, y: (x @ y, y.T @ x.T), backend="numba")
    compiled(x, y)
    assert "on several threads" in compiled.report()
    first, second = compiled(x, y)
    np.testing.assert_allclose(first, x @ y, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(second, (x @ y).T, rtol=1e-4, atol=1e-4)
    again = compiled(x, y)
    np.testing.assert_array_equal(first, again[0])
