"""Training steps of a convolution net with batch normalisation and of a transformer block through every reader."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from pages import data_of

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import debug, nn, optim
from tinygrad_sm.debug import player
from tinygrad_sm.errors import StaleValueError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Scripts are written to the working directory."""
    monkeypatch.chdir(tmp_path)


def rng(seed=0):
    return np.random.default_rng(seed)


class Net(nn.Module):
    """Convolution, batch normalisation, pooling, and a classifier with another normalisation."""

    def __init__(self):
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, generator=rng()), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        )
        self.head = nn.Sequential(
            nn.Linear(36, 8, generator=rng(1)), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3, generator=rng(2))
        )

    def forward(self, x):
        return self.head(self.features(x))


class Attentive(nn.Module):
    """Positions, a transformer block that looks back, the mean over the sequence."""

    def __init__(self):
        self.positions = nn.PositionalEncoding(8)
        self.block = nn.TransformerBlock(8, 2, dropout=0.1, generator=rng())
        self.head = nn.Linear(8, 3, generator=rng(1))

    def forward(self, x):
        return self.head(self.block(self.positions(x), is_causal=True).mean(axis=1))


class Gated(nn.Module):
    """An LSTM along short sequences."""

    def __init__(self):
        self.lstm = nn.LSTM(8, 4, batch_first=True, generator=rng())
        self.head = nn.Linear(4, 3, generator=rng(1))

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


MODELS = {"net": (Net, (6, 1, 8, 8)), "attentive": (Attentive, (4, 5, 8)), "gated": (Gated, (4, 3, 8))}
LAYERS = {
    "net": ["Conv2d", "BatchNorm2d", "BatchNorm1d", "Linear"],
    "attentive": ["LayerNorm", "MultiHeadAttention", "Linear"],
    "gated": ["call 3"],
}
SVG = "{http://www.w3.org/2000/svg}"
every_model = pytest.mark.parametrize("name", MODELS)


def step_of(name, model=None):
    """A loss in training, and the model."""
    make, shape = MODELS[name]
    model = model or make()
    x, y = rng(3).standard_normal(shape).astype(np.float32), rng(4).integers(3, size=shape[0])
    return F.cross_entropy(model(x), y), model


@every_model
def test_derived_scripts_give_the_gradients(name):
    loss, model = step_of(name)
    by_calls, inline = debug.source(loss, "calls"), debug.source(loss)
    loss.backward()
    expected = [parameter.grad for parameter in model.parameters()]
    for derived, tolerance in ((by_calls, 0), (inline, 1e-4)):
        got = derived.run()
        assert len(got) == len(expected)
        for g, e in zip(got.values(), expected, strict=True):
            np.testing.assert_allclose(g, e, rtol=tolerance, atol=tolerance / 100)
    assert "import tinygrad_sm" not in str(inline)
    assert "from tinygrad_sm" not in str(inline)
    assert max(map(len, str(inline).splitlines())) < 1000  # no large constant is spelled out that a formula makes


@every_model
def test_the_picture_is_folded_by_module(name):
    loss, _ = step_of(name)
    folded, whole = (drawn(debug.draw(loss, fold=fold)) for fold in (True, False))
    assert not any(kind == "leaf" for kind, _ in folded if name != "gated")  # whose cell uses its leaves in every step
    modules = [text for kind, text in folded if kind == "module"]
    for layer in LAYERS[name]:
        assert any(layer in text for text in modules)
    assert len(folded) < 0.7 * len(whole)


def drawn(drawing):
    """The boxes of a picture: their kinds and texts."""
    boxes = [g for g in ElementTree.fromstring(drawing.svg).iter(f"{SVG}g") if "tg-box" in g.get("class", "")]
    return [(g.get("class").split("tg-")[-1], " ".join(str(t.text) for t in g.iter(f"{SVG}text"))) for g in boxes]


@every_model
def test_the_page_stays_within_its_size(name, tmp_path):
    loss, model = step_of(name)
    page = player(loss, tmp_path / "page.html")
    assert page.path.stat().st_size < 2_000_000
    assert len(data_of(page)["steps"]) > len(list(model.parameters()))


@every_model
def test_every_step_of_the_stepper(name):
    loss, _ = step_of(name)
    steps = list(debug.steps(loss))
    assert len(steps) == sum(node.op is not None for node in loss.tape())


def test_a_tape_of_batch_normalisation_is_read_until_another_batch_has_passed():
    """What a node updated itself is not what it computed with; what an optimiser's step updated is."""
    loss, model = step_of("net")
    before = debug.source(loss, "calls").gradients()
    step_of("net", model)  # which moves the running statistics once more
    after = debug.source(loss, "calls").gradients()
    for one, other in zip(before.values(), after.values(), strict=True):
        np.testing.assert_array_equal(one, other)
    loss.backward()
    optim.SGD(model.parameters(), lr=0.1).step()
    with pytest.raises(StaleValueError):
        debug.source(loss)


BACKENDS = ["numpy", pytest.param("numba", marks=[pytest.mark.slow, pytest.mark.extra])]


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_steps_of_the_net_are_the_eager_ones(backend):
    eager, compiled = Net(), Net()
    optimizer, other = (optim.SGD(model.parameters(), lr=0.1, momentum=0.9) for model in (eager, compiled))
    step = tg.compile_step(lambda x, y: F.cross_entropy(compiled(x), y), other, backend=backend)
    for seed in range(4):
        x, y = rng(seed).standard_normal((6, 1, 8, 8)).astype(np.float32), rng(seed).integers(3, size=6)
        optimizer.zero_grad()
        loss = F.cross_entropy(eager(x), y)
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(float(step(x, y)), loss.item(), rtol=1e-4)
    for name, value in eager.state_dict().items():
        np.testing.assert_allclose(compiled.state_dict()[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
