"""Every framework that is installed computes what the textbook says; nothing here is timed."""

import functools

import numpy as np
import pytest
from frameworks import FRAMEWORKS, YARDSTICK, build, load, missing
from workloads import EPSILON, FACTOR, LEARNING_RATE, START, WORKLOADS, pictures, problem, rows, scores

# The first and the tenth loss. They hold the random numbers of a workload in place: results of other days and of other
# programs on the same workload stay comparable.
LOSSES = {
    "moons": (0.70777, 0.70645),
    "digits": (2.52924, 2.39267),
    "mnist": (2.56591, 2.25939),
    "deep": (2.30129, 2.29534),
    "wide": (2.41249, 2.15772),
}
CONVOLUTION = (2.36649, 1.79010)
KERNELS = [name for name, workload in WORKLOADS.items() if workload.function in ("cross_entropy", "logsumexp")]
NORMS = [name for name, workload in WORKLOADS.items() if workload.function == "layer_norm"]


@pytest.fixture(autouse=True)
def no_code_of_earlier_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("TINYGRAD_SM_CACHE", str(tmp_path))


def installed(*workloads):
    """Workloads in every framework that computes them here, as parameters of a test."""
    found = []
    for name, framework in FRAMEWORKS.items():
        if missing(framework):
            continue
        peer = [pytest.mark.filterwarnings("ignore")] if framework.module.startswith("with_") else []
        marks = [pytest.mark.slow, pytest.mark.extra, *peer] if framework.needs else []
        for workload in filter(framework.computes, workloads):
            found.append(pytest.param(name, workload, marks=marks, id=f"{name}-{workload}"))
    return found


@functools.cache
def losses_by_the_textbook(workload):
    """Unfused float64: one-hot labels, a plain softmax, and the chain rule one factor at a time."""
    X, labels, layers = problem(workload)
    weights = [W.astype(float) for W, _ in layers]
    biases = [b.astype(float) for _, b in layers]
    wanted = np.eye(len(biases[-1]))[labels]
    losses = []
    for _ in range(3 if workload == "wide" else 10):
        sums, outputs = [], [X.astype(float)]
        for W, b in zip(weights, biases, strict=True):
            sums.append(np.einsum("ni,io->no", outputs[-1], W, optimize=True) + b)
            outputs.append(np.where(sums[-1] > 0, sums[-1], 0))
        p = softmax_by_the_textbook(sums[-1])
        losses.append(-np.sum(wanted * np.log(p)) / len(X))
        g = (p - wanted) / len(X)
        for i in reversed(range(len(weights))):
            slope_W, slope_b = np.einsum("ni,no->io", outputs[i], g, optimize=True), np.einsum("no->o", g)
            if i:
                g = np.einsum("no,io->ni", g, weights[i], optimize=True) * np.heaviside(sums[i - 1], 0)
            weights[i] -= LEARNING_RATE * slope_W
            biases[i] -= LEARNING_RATE * slope_b
    return losses


def softmax_by_the_textbook(z):
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


@functools.cache
def kernel_by_the_textbook(workload):
    logits, labels = scores(workload)
    z = logits.astype(float)
    loss, gradient = np.log(np.exp(z).sum(axis=1)).sum(), softmax_by_the_textbook(z)
    if WORKLOADS[workload].function == "logsumexp":
        return loss, gradient
    wanted = labels[:, None] == np.arange(z.shape[1])
    return (loss - z[wanted].sum()) / len(z), (gradient - wanted) / len(z)


@pytest.mark.parametrize(("framework", "workload"), installed(*LOSSES))
def test_every_framework_takes_the_steps_of_the_textbook(framework, workload):
    step = build(framework, workload)
    losses = losses_by_the_textbook(workload)
    np.testing.assert_allclose([step() for _ in losses], losses, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("framework", "workload"), installed(*KERNELS))
def test_every_framework_computes_the_loss_and_the_gradient_of_the_textbook(framework, workload):
    loss, gradient = kernel_by_the_textbook(workload)
    run = build(framework, workload)
    for _ in range(3):  # what is kept from a call must not show in the next
        found = run()
    np.testing.assert_allclose(float(found[0]), loss, rtol=1e-5)
    slopes = found[1].numpy() if hasattr(found[1], "numpy") else np.asarray(found[1])
    assert slopes.dtype == np.float32
    np.testing.assert_allclose(slopes, gradient, rtol=2e-5, atol=1e-9)


@functools.cache
def layer_norm_by_the_textbook(workload):
    """In float64, with the whole derivative of x_hat_j by x_i for one row after another."""
    X, weight, bias, others = (values.astype(float) for values in rows(workload))
    deviations = np.sqrt(X.var(axis=1) + EPSILON)
    x_hat = (X - X.mean(axis=1, keepdims=True)) / deviations[:, None]
    n = X.shape[1]
    gradient = [
        (np.eye(n) - 1 / n - np.outer(row, row) / n) @ (g * weight) / deviation
        for row, deviation, g in zip(x_hat, deviations, others, strict=True)
    ]
    return ((x_hat * weight + bias) * others).sum(), np.array(gradient)


@pytest.mark.parametrize(("framework", "workload"), installed(NORMS[0]))
def test_every_framework_normalises_as_the_textbook_does(framework, workload):
    loss, gradient = layer_norm_by_the_textbook(workload)
    run = build(framework, workload)
    for _ in range(3):
        found = run()
    np.testing.assert_allclose(float(found[0]), loss, rtol=1e-4)
    slopes = found[1].numpy() if hasattr(found[1], "numpy") else np.asarray(found[1])
    assert slopes.dtype == np.float32
    np.testing.assert_allclose(slopes, gradient, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("framework", "workload"), installed("chain"))
def test_every_framework_follows_the_chain(framework, workload):
    run = load(FRAMEWORKS[framework]).chain(100, *FRAMEWORKS[framework].arguments)
    for _ in range(3):
        value, slope = run()
    power = FACTOR**50  # x - 1 shrinks by the factor with every second operation
    np.testing.assert_allclose([float(value), float(slope)], [1 + (START - 1) * power, power], rtol=1e-4)


@functools.cache
def losses_of_the_convolution_by_the_textbook():
    """Unfused float64: loops over the kernel, and of every 2 x 2 pixels the gradient to the first of the largest."""
    X, labels, kernel, bias, W, b = (values.astype(float) for values in pictures("cnn"))
    wanted = np.eye(len(b))[labels.astype(int)]
    size, losses = X.shape[-1] - 2, []
    for _ in range(3):
        pixels = [[X[:, 0, i : i + size, j : j + size] for j in range(3)] for i in range(3)]
        z = sum(pixels[i][j][:, None] * kernel[:, 0, i, j, None, None] for i in range(3) for j in range(3))
        z = z + bias[:, None, None]
        squares = np.stack([np.where(z > 0, z, 0)[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)])
        first = squares.argmax(axis=0)
        flat = squares.max(axis=0).reshape(len(X), -1)
        p = softmax_by_the_textbook(flat @ W + b)
        losses.append(-np.sum(wanted * np.log(p)) / len(X))
        g = (p - wanted) / len(X)
        slope_pooled = (g @ W.T).reshape(first.shape)
        slope_z = np.zeros(z.shape)
        for k, (i, j) in enumerate(np.ndindex(2, 2)):
            slope_z[:, :, i::2, j::2] = np.where(first == k, slope_pooled, 0)
        slope_z *= np.heaviside(z, 0)
        slopes = [np.einsum("ncij,nij->c", slope_z, pixels[i][j]) for i in range(3) for j in range(3)]
        kernel -= LEARNING_RATE * np.stack(slopes, axis=1).reshape(kernel.shape)
        bias -= LEARNING_RATE * slope_z.sum(axis=(0, 2, 3))
        W -= LEARNING_RATE * np.einsum("ni,no->io", flat, g)
        b -= LEARNING_RATE * g.sum(axis=0)
    return losses


@pytest.mark.parametrize(("framework", "workload"), installed("cnn"))
def test_every_framework_convolves_as_the_textbook_does(framework, workload):
    step = build(framework, workload)
    losses = losses_of_the_convolution_by_the_textbook()
    np.testing.assert_allclose([step() for _ in losses], losses, rtol=0, atol=2e-5)


def test_the_numbers_of_the_convolution_stay_the_same():
    step = build(YARDSTICK, "cnn")
    losses = [step() for _ in range(10)]
    np.testing.assert_allclose([losses[0], losses[9]], CONVOLUTION, rtol=0, atol=1e-5)


@pytest.mark.parametrize("workload", LOSSES)
def test_the_numbers_of_a_workload_stay_the_same(workload):
    step = build(YARDSTICK, workload)
    losses = [step() for _ in range(10)]
    np.testing.assert_allclose([losses[0], losses[9]], LOSSES[workload], rtol=0, atol=1e-5)


def test_each_call_of_problem_returns_arrays_of_its_own():
    first, second = problem("moons"), problem("moons")
    first.layers[0][0][:] = 0
    assert second.layers[0][0].all()


def test_numbers_made_row_by_row_are_those_of_one_call():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((100, 2)).astype(np.float32)
    labels = generator.integers(0, 2, 100)
    W = (generator.standard_normal((2, 16)) / np.sqrt(2)).astype(np.float32)
    made = problem("moons")
    for array, expected in zip((made.X, made.labels, made.layers[0][0]), (X, labels, W), strict=True):
        np.testing.assert_array_equal(array, expected)
