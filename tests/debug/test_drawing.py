"""The picture of a graph, read back: its boxes and arrows are those of the tape, and it says what the tape says."""

import itertools
import re
import shutil
import subprocess
import threading
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tests.calls import CALLS, NAMES, Call, variables
from tinygrad_sm import Tensor, debug, nn, optim
from tinygrad_sm.debug.pictures.drawing import svg_of
from tinygrad_sm.debug.pictures.folding import FEW, MOST
from tinygrad_sm.debug.pictures.letters import cells
from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.errors import ArgumentError, DTypeError, FileError, GradientError, StaleValueError

SVG = "{http://www.w3.org/2000/svg}"
LETTER = 7.2247  # of 12 px in DejaVu Sans Mono and Menlo, measured; Consolas and Courier are narrower


class Seen:
    """What a picture holds: its boxes with their numbers and texts, and its arrows."""

    def __init__(self, svg):
        self.root = ElementTree.fromstring(svg)
        self.boxes = [g for g in self.root.iter(f"{SVG}g") if "tg-box" in g.get("class", "").split()]
        self.arrows = [
            (self.numbers(path.get("data-from")), self.numbers(path.get("data-to")))
            for path in self.root.iter(f"{SVG}path")
            if path.get("class") == "tg-arrow"
        ]

    @staticmethod
    def numbers(text):
        return tuple(map(int, text.split()))

    def of_kind(self, kind):
        """The texts of the boxes of a kind."""
        return [self.texts(box) for box in self.boxes if box.get("class") == f"tg-box tg-{kind}"]

    @staticmethod
    def texts(box):
        return [text.text for text in box.iter(f"{SVG}text")]

    @property
    def nodes(self):
        return [self.numbers(box.get("data-nodes")) for box in self.boxes]

    @property
    def heading(self):
        return [text.text for text in self.root.findall(f"{SVG}text")]


def regression():
    X, labels = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25]]), np.array([0, 1, 1])
    W = Tensor([[0.5, -1.0], [0.25, 2.0]], requires_grad=True, name="W")
    b = Tensor([0.1, -0.2], requires_grad=True, name="b")
    logits = X @ W + b
    loss = F.cross_entropy(logits, labels)
    return loss, W, b


def deep(layers=50, width=4):
    parts = [part for _ in range(layers - 1) for part in (nn.Linear(width, width), nn.ReLU())]
    model = nn.Sequential(*parts, nn.Linear(width, 3))
    return F.cross_entropy(model(np.ones((5, width))), np.array([0, 1, 2, 1, 0])), model


def recurrent(steps):
    x = np.linspace(-1, 1, steps * 6).reshape(steps, 2, 3)
    U, W = Tensor(np.full((3, 4), 0.2), requires_grad=True), Tensor(np.eye(4) / 2, requires_grad=True)
    h = np.zeros((2, 4))
    for t in range(steps):
        h = tg.tanh(x[t] @ U + h @ W)
    return (h * h).sum()


def chain(length):
    x = Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(length):
        y = y * 1.0001
    return y.sum()


def assert_legible(drawing):
    """Texts stay inside their boxes, boxes apart from each other, everything within the picture."""
    seen = Seen(drawing.svg)
    width, height = float(seen.root.get("width")), float(seen.root.get("height"))
    places = []
    for box in seen.boxes:
        rect = next(box.iter(f"{SVG}rect"))
        x, y, w, h = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
        places.append((x, y, w, h))
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
        rows = {}
        for text in box.iter(f"{SVG}text"):
            left, base = float(text.get("x")), float(text.get("y"))
            size = cells(text.text) * LETTER
            left -= size if "tg-end" in text.get("class", "") else 0
            assert x < left
            assert left + size < x + w, text.text
            assert y + 8 < base < y + h
            rows.setdefault(base, []).append((left, left + size))
        for row in rows.values():
            row.sort()
            assert all(end < start for (_, end), (start, _) in itertools.pairwise(row))
    for i, (x, y, w, h) in enumerate(places):
        for x2, y2, w2, h2 in places[:i]:
            assert x >= x2 + w2 or x2 >= x + w or y >= y2 + h2 or y2 >= y + h
    assert max(map(cells, drawing.text.splitlines())) <= 80
    read_dot(drawing.dot)


def read_dot(text):
    """The boxes and arrows of a file in DOT, by a grammar of the small part of the language that is used."""
    quoted = r'"(?:[^"\\\n]|\\.)*"'
    attributes = rf" \[(?:\w+=(?:{quoted}|[\w.]+) ?)*\]"
    boxes, arrows = {}, []
    head, *lines, end, last = text.split("\n")
    assert (head, end, last) == ("digraph {", "}", "")
    for line in lines:
        assert re.fullmatch(rf"  \w+(?: -> \w+)?(?:{attributes})?", line), line
        names = line.split(" [")[0].split(" -> ")
        if len(names) == 2:
            arrows.append(tuple(name.strip() for name in names))
        elif names[0].strip() not in ("graph", "node", "edge"):
            label = re.search(rf"label=({quoted})", line)[1][1:-1]
            boxes[names[0].strip()] = re.sub(r"\\(.)", lambda found: "\n" if found[1] == "l" else found[1], label)
    assert all(name in boxes for arrow in arrows for name in arrow)
    return boxes, arrows


def test_boxes_and_arrows_are_those_of_the_tape():
    loss, *_ = regression()
    seen = Seen(debug.draw(loss).svg)
    tape = loss.tape()
    expected = {((tape.index(edge[0]),), (i,)) for i, node in enumerate(tape) for edge in node.parents if edge}
    assert {arrow for arrow in seen.arrows if arrow[0]} == expected
    assert [arrow for arrow in seen.arrows if not arrow[0]] == [
        ((), (2,)),
        ((), (4,)),
    ]  # X to matmul, labels to the loss
    assert sorted(seen.nodes) == [(), (), (0,), (1,), (2,), (3,), (4,)]
    assert [texts[0] for texts in seen.of_kind("leaf")] == ["W", "b"]
    assert [texts[0] for texts in seen.of_kind("constant")] == ["X", "labels"]
    assert [texts[0] for texts in seen.of_kind("op")] == ["matmul_2", "logits", "loss"]


def test_a_box_says_name_operation_shape_values_gradient_line_and_expression():
    loss, _, b = regression()
    drawing = debug.draw(loss)
    loss.backward()
    line = regression.__code__.co_firstlineno + 4
    g = f"[{b.grad[0]:.4f} {b.grad[1]:.4f}]"
    said = next(texts for texts in Seen(drawing.svg).of_kind("leaf") if texts[0] == "b")
    assert said[:2] == ["b", "leaf"]
    assert said[2:8] == ["shape", "(2,) float64", "value", "[0.1 -0.2]", "grad", g]
    logits = next(texts for texts in Seen(drawing.svg).of_kind("op") if texts[0] == "logits")
    assert "add" in logits
    assert "(3, 2) float64" in logits
    assert f"line {line}  X @ W + b" in logits
    for picture in (drawing.text, drawing.dot.replace("\\l", "\n")):
        assert f"grad  {g}" in picture.replace("grad   ", "grad  ")
        assert f"line {line}  X @ W + b" in picture
    assert "g_W = X.T @ g" in drawing.text
    assert any("g_W = X.T @ g" in title.text for title in Seen(drawing.svg).root.iter(f"{SVG}title"))


def test_many_values_are_summed_up_in_few_numbers():
    values = np.arange(20.0)
    x = Tensor(values, requires_grad=True, name="x")
    text = debug.draw((x * x).sum()).text
    assert f"mean {values.mean():g} std {values.std():.4f}" in text
    assert f"norm {np.linalg.norm(2 * values):.4f} max 38" in text


def test_norms_are_right_where_squares_overflow():
    x = Tensor(np.full(16, 1e50), requires_grad=True, name="x")
    assert "norm 4e+200 max 1e+200" in debug.draw((x * 1e200).sum() * 1.0).text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([np.nan, 1, 2, np.inf, 3, 4, 5, np.nan], "2 NaN, 1 inf of 8"),
        (np.zeros((0, 3)), "empty"),
        (np.full(9, 2.5), "all 2.5"),
        (3.25, "3.25"),
    ],
)
def test_unusual_values_are_named(values, said):
    x = Tensor(values, requires_grad=True, name="x", dtype=float)
    with np.errstate(all="ignore"):
        lines = debug.draw((x * 1.0).sum()).text.splitlines()
    assert lines[lines.index("[0] x  leaf") + 2] == f"    value  {said}"


@pytest.mark.parametrize(
    ("constant", "said"),
    [(np.arange(10) % 3, "from 0 to 2"), (np.arange(10) < 4, "4 of 10 true"), (np.ones(10, bool), "all 1")],
)
def test_integers_and_booleans_are_counted(constant, said):
    x = Tensor(np.ones(10), requires_grad=True)
    assert f"value  {said}" in debug.draw((x * constant).sum()).text


def test_fan_in_shows_as_arrows_and_as_a_sum():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    drawing = debug.draw((x * x).sum() + x.sum())
    seen = Seen(drawing.svg)
    assert seen.arrows.count(((0,), (1,))) == 2
    assert "the sum of 3 contributions" in drawing.text
    assert "the sum of 2 contributions" in debug.draw((x * x).sum()).text
    labels = [text.text for text in seen.root.iter(f"{SVG}text") if "tg-label" in text.get("class", "")]
    assert labels == ["x", "y", "x", "y"]  # of the product and of the sum, whose operands are called so


def test_a_leaf_is_shown_where_its_value_is_literally_a_constant_too():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    drawing = debug.draw((x * x.data).sum())
    assert len(Seen(drawing.svg).of_kind("leaf")) == len(Seen(drawing.svg).of_kind("constant")) == 1


def test_options_stand_beside_the_operation():
    x = Tensor(np.ones((3, 4)), requires_grad=True)
    text = debug.draw((x.sum(axis=0) ** 2).sum()).text
    assert "sum axis=0" in text
    assert "power y=2" in text


def test_arrays_within_an_index_are_constants():
    x = Tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    rows, columns = np.array([0, 2]), np.array([1, 3])
    seen = Seen(debug.draw(x[rows, columns].sum()).svg)
    assert [texts[0] for texts in seen.of_kind("constant")] == ["rows", "columns"]


def test_an_operation_with_several_outputs_is_one_box():
    @tg.primitive(method=False)
    def halves(x):
        """Both halves of a vector."""
        return x[: len(x) // 2], x[len(x) // 2 :]

    @halves.vjp("x")
    def halves_vjp_x(g, out, x):
        return np.concatenate(g)

    try:
        x = Tensor(np.arange(4.0), requires_grad=True)
        a, b = halves(x)
        drawing = debug.draw((a * b).sum())
        unread = debug.draw(halves(x)[0].sum())
    finally:
        del tg.engine.primitive.PRIMITIVES["halves"]
    assert "a, b" in [texts[0] for texts in Seen(drawing.svg).of_kind("op")]
    assert "value  [2 3]" in drawing.text
    assert "0, nothing came back" in unread.text
    assert_legible(drawing)


@pytest.mark.parametrize(("op", "number"), CALLS, ids=NAMES)
def test_every_operation_can_be_drawn_in_every_form(op, number):
    call = Call(op, number)
    leaves = variables(call.arrays)
    out = call(*leaves)
    for drawing in (debug.draw(out), debug.draw(Recording(out, call.cotangent()), fold=True)):
        assert_legible(drawing)
        seen = Seen(drawing.svg)
        numbers = sorted(number for nodes in seen.nodes for number in nodes)
        assert numbers == list(range(len((out[0] if isinstance(out, tuple) else out).tape())))
        boxes, arrows = read_dot(drawing.dot)
        assert (len(boxes), len(arrows)) == (len(seen.boxes), len(seen.arrows))
        assert drawing.text.count("\n\n") == len(boxes)
        assert op.name in drawing.text


def test_a_deep_model_is_folded_by_its_layers():
    loss, model = deep()
    drawing = debug.draw(loss)
    seen = Seen(drawing.svg)
    assert len(seen.boxes) <= FEW
    assert len(seen.of_kind("module")) >= 20
    assert any("100 operations in" in line and "fold=False" in line for line in seen.heading)
    numbers = sorted(number for nodes in seen.nodes for number in nodes)
    assert numbers == list(range(len(loss.tape())))
    loss.backward()
    within = [dict(model.named_parameters())[name].grad for name in ("0.weight", "0.bias", "2.weight", "2.bias")]
    norm = np.sqrt(sum((g**2).sum() for g in within))
    first = seen.of_kind("module")[0]
    assert first[0] == "layer 0 to layer 3"
    assert "4 operations" in first
    assert "4 leaves, 40 numbers" in first
    assert "(5,4) -> (5,4)" in first
    told = [float(line.split()[1]) for line in first if line.endswith("in its leaves")]
    np.testing.assert_allclose(told, [norm], rtol=2e-3, atol=5e-5)
    assert_legible(drawing)


def test_without_folding_every_operation_is_drawn():
    loss, _ = deep(30)
    drawing = debug.draw(loss, fold=False)
    seen = Seen(drawing.svg)
    assert len(seen.of_kind("op")) == 60
    assert len(seen.of_kind("leaf")) == 60
    assert seen.of_kind("module") == []
    assert sorted(nodes for nodes in seen.nodes if nodes) == [(i,) for i in range(len(loss.tape()))]


def test_a_small_model_is_folded_when_asked_to_be():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    loss = F.cross_entropy(model(np.ones((5, 3))), np.array([0, 1, 1, 0, 1]))
    assert Seen(debug.draw(loss).svg).of_kind("module") == []
    folded = Seen(debug.draw(loss, fold=True).svg)
    assert [texts[0] for texts in folded.of_kind("module")] == ["layer 0", "layer 2"]
    assert [texts[1] for texts in folded.of_kind("module")] == ["Linear", "Linear"]
    assert folded.of_kind("leaf") == []
    assert any("parameters are drawn within" in line for line in folded.heading)


class Block(nn.Module):
    def __init__(self, width):
        self.body = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x):
        return x + self.body(x)


class Net(nn.Module):
    def __init__(self, blocks):
        self.stem = nn.Linear(2, 6)
        self.blocks = nn.Sequential(*[Block(6) for _ in range(blocks)])

    def forward(self, x):
        return self.blocks(tg.tanh(self.stem(x)))


def test_the_paths_are_as_long_as_there_is_room_for():
    x = np.ones((3, 2))
    names = {}
    for blocks in (8, 25, 60):
        seen = Seen(debug.draw((Net(blocks)(x) ** 2).mean()).svg)
        assert len(seen.boxes) <= FEW
        names[blocks] = [texts[0] for texts in seen.of_kind("module")]
    assert names[8][:3] == ["stem", "blocks.0.body.0", "blocks.0.body.2"]
    assert names[25] == ["stem", *(f"blocks.{i}" for i in range(25))]
    assert names[60][1:3] == ["blocks.0 to blocks.1", "blocks.2 to blocks.3"]


def test_the_passes_of_a_loop_are_folded():
    loss = recurrent(20)
    drawing = debug.draw(loss)
    seen = Seen(drawing.svg)
    modules = seen.of_kind("module")
    assert [texts[0] for texts in modules] == [f"pass {i} of 20" for i in range(1, 21)]
    assert all("4 operations" in texts for texts in modules)
    assert sorted(texts[0] for texts in seen.of_kind("leaf")) == ["U", "W"]
    line = recurrent.__code__.co_firstlineno + 5
    assert all(any(text.startswith(f"line {line}") for text in texts) for texts in modules)
    assert_legible(drawing)


def test_passes_begin_where_the_loop_begins_though_the_first_is_shorter():
    x = np.linspace(-1, 1, 120).reshape(20, 2, 3)
    U, W = Tensor(np.full((3, 4), 0.2), requires_grad=True), Tensor(np.eye(4) / 2, requires_grad=True)
    h = None
    for t in range(20):
        a = x[t] @ U
        if h is not None:
            a = a + h @ W
        h = tg.tanh(a)
    modules = Seen(debug.draw(h.sum()).svg).of_kind("module")
    assert [texts[0] for texts in modules] == [f"pass {i} of 19" for i in range(1, 20)]
    assert {texts[1] for texts in modules} == {"matmul, add, tanh"}  # in the order in which they ran


def test_a_layer_that_is_called_several_times_is_a_box_for_each_call():
    layer = nn.Linear(3, 3)
    h = np.ones((2, 3))
    for _ in range(60):
        h = layer(h)
    seen = Seen(debug.draw((h * h).sum()).svg)
    assert 20 <= len(seen.boxes) <= FEW
    assert any("passes" in texts[0] or "call" in texts[0] for texts in seen.of_kind("module"))


def test_code_that_was_written_out_folds_as_a_loop_does():
    W = Tensor(np.eye(3) * 0.9, requires_grad=True)
    lines = "\n".join("h = tg.tanh(h @ W)" for _ in range(60))
    variables = {"h": np.ones((2, 3)), "W": W, "tg": tg}
    exec(lines, variables)
    seen = Seen(debug.draw(variables["h"].sum()).svg)
    assert len(seen.boxes) <= FEW
    assert seen.of_kind("module")[0][0] == "passes 1 to 2 of 60"


def test_what_does_not_repeat_itself_is_folded_in_parts():
    ops = [tg.exp, tg.sin, tg.cos, tg.tanh, tg.sqrt, tg.abs]
    rng = np.random.default_rng(0)
    x = Tensor([0.5, 0.25], requires_grad=True)
    for i in rng.integers(0, 6, 300):
        x = ops[i](x) * 0.5 + 0.5
    loss = x.sum()
    seen = Seen(debug.draw(loss).svg)
    assert len(seen.boxes) <= FEW
    assert sorted(number for nodes in seen.nodes for number in nodes) == list(range(len(loss.tape())))


def test_a_crowd_of_leaves_is_one_box():
    leaves = [Tensor([float(i)], requires_grad=True) for i in range(500)]
    loss = tg.concatenate(leaves).sum()
    for fold in (None, False):
        drawing = debug.draw(loss, fold=fold)
        assert [texts[0] for texts in Seen(drawing.svg).of_kind("leaf")] == ["500 leaves"]
        assert f"norm {np.sqrt(500):.4f}" in drawing.text
        assert "share a box" in drawing.text if fold is False else "2 operations in 3 boxes" in drawing.text
        assert_legible(drawing)


@pytest.mark.parametrize("extra", [0, 90, 3000])
def test_leaves_count_among_the_boxes_of_a_picture(extra):
    total = 0.0
    for _ in range(30):
        total = total + tg.stack([Tensor(float(i), requires_grad=True) for i in range(10)]).sum()
    for _ in range(extra):
        total = total * 1.5 * 0.5
    shown = Seen(debug.draw(total, fold=False).svg)
    assert MOST // 2 < len(shown.boxes) <= MOST
    assert sorted(number for nodes in shown.nodes for number in nodes) == list(range(len(total.tape())))
    assert len(Seen(debug.draw(total).svg).boxes) <= FEW


def test_arrows_of_a_folded_graph_never_lead_in_a_circle():
    x = Tensor([1.0, 2.0], requires_grad=True)
    layer = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    h = x
    for _ in range(40):
        h = h + layer(tg.sin(h))  # the module reads what was made between its calls
    for fold in (None, True, False):
        seen = Seen(debug.draw(h.sum(), fold=fold).svg)
        box_of = {number: i for i, nodes in enumerate(seen.nodes) for number in nodes}
        assert all(box_of[start] < box_of[end] for starts, ends in seen.arrows for start in starts for end in ends)


@pytest.mark.parametrize("fold", [None, False])
def test_a_very_long_chain_is_drawn_in_few_boxes_and_says_so(fold):
    loss = chain(20_000)
    drawing = debug.draw(loss, fold=fold)
    seen = Seen(drawing.svg)
    assert len(seen.boxes) <= (MOST if fold is False else FEW)
    note = (
        "20,001 operations are too many: a picture has at most 400 boxes" if fold is False else "20,001 operations in"
    )
    assert any(line.startswith(note) for line in seen.heading)
    assert any("fold=" in line for line in seen.heading)
    assert sorted(number for nodes in seen.nodes for number in nodes) == list(range(20_002))


@pytest.mark.slow
def test_a_hundred_thousand_operations_can_be_drawn():
    loss = chain(100_000)
    assert len(Seen(debug.draw(loss).svg).boxes) <= FEW
    assert len(Seen(debug.draw(loss, fold=False).svg).boxes) <= MOST


def test_anything_but_a_scalar_is_drawn_without_gradients_and_says_why():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    drawing = debug.draw(x * x)
    assert "no gradients: they start from one number, not from shape (2,)" in drawing.text
    assert drawing.text.count("grad   -\n") == 2
    assert "grad   [2 4]" in debug.draw(Recording(x * x, np.ones(2))).text
    forward = debug.draw(Recording((x * x).sum(), gradients=False)).text
    assert forward.count("grad   -\n") == 3
    assert "no gradients" not in forward


def test_gradients_are_left_out_when_not_wanted():
    loss, *_ = regression()
    drawing = debug.draw(loss, gradients=False)
    assert "    grad" not in drawing.text
    assert "g_W" not in drawing.text
    assert "    grad" in debug.draw(loss).text


def test_drawing_changes_nothing():
    loss, W, b = regression()
    debug.draw(loss).svg.count("")
    assert W.grad is None
    assert b.grad is None
    loss.backward()
    first = W.grad.copy()
    W.grad = None
    debug.draw(loss).text.count("")
    loss.backward()
    np.testing.assert_array_equal(W.grad, first)


def test_pictures_are_the_same_every_time_and_in_every_thread():
    loss, _ = deep(20)
    expected = debug.draw(loss).svg
    found = []
    threads = [threading.Thread(target=lambda: found.append(debug.draw(loss).svg)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_names_that_are_not_ascii_and_code_with_markup_are_kept_and_escaped():
    größe, 幅 = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 4.0], requires_grad=True)
    loss = (größe * 幅 * (1.0 if "<&\"'\\>" else 0.0)).sum()
    drawing = debug.draw(loss)
    assert_legible(drawing)
    assert [texts[0] for texts in Seen(drawing.svg).of_kind("leaf")] == ["größe", "幅"]
    boxes, _ = read_dot(drawing.dot)
    assert any(label.startswith("größe  leaf\n") for label in boxes.values())
    assert '"<&' in drawing.text
    assert any('"<&' in text for texts in Seen(drawing.svg).of_kind("op") for text in texts)


def test_lines_of_text_break_where_the_page_ends_and_not_within_a_number():
    幅 = Tensor([-1.0, -2.0], requires_grad=True)
    loss = (幅 * sum([-1.25, -2.25, -3.25, -4.25, -5.25, -6.25, -7.25, -8.25, -9.25, -10.25, -11.25])).sum()
    drawing = debug.draw(loss)
    assert_legible(drawing)
    lines = drawing.text.splitlines()
    assert not any(line.endswith("-") for line in lines)
    first = next(line for line in lines if "sum([" in line)
    assert cells(first) > 70  # one wide letter does not make the others wide


def test_a_wide_letter_at_the_end_of_a_line_stays_within_it():
    x = Tensor([1.0], requires_grad=True, name="幅" * 70)
    drawing = debug.draw((x * 2.0).sum())
    assert_legible(drawing)
    assert "\0" not in drawing.text
    assert "is     multiply_1 = 幅" in drawing.text
    boxes, _ = read_dot(drawing.dot)
    assert max(cells(line) for label in boxes.values() for line in label.split("\n")) <= 60


def test_code_without_its_source_is_drawn_with_lines_alone():
    variables = {"Tensor": Tensor}
    exec("x = Tensor([1.0], requires_grad=True)\nloss = (x * 2.0).sum()", variables)
    drawing = debug.draw(variables["loss"])
    assert "at     line 2\n" in drawing.text
    assert_legible(drawing)


def test_lines_of_several_files_are_told_apart(tmp_path):
    path = tmp_path / "layers.py"
    path.write_text("def double(x):\n    return x * 2.0\n")
    variables = {}
    exec(compile(path.read_text(), str(path), "exec"), variables)
    x = Tensor([1.0], requires_grad=True)
    text = debug.draw(variables["double"](x).sum()).text
    assert "layers.py line 2  x * 2.0" in text
    assert "test_drawing.py line " in text


def test_a_picture_needs_nothing_else_and_disturbs_nothing():
    loss, *_ = regression()
    svg = debug.draw(loss).svg
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == f"loss = {loss.item():.4f}"
    assert "matmul_2 (matmul)" in root.find(f"{SVG}desc").text
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "desc", "style", "g", "rect", "path", "text"),
    }
    assert not any(
        name in ("href", "src", "id") or name.startswith("on") for each in root.iter() for name in each.attrib
    )
    style = root.find(f"{SVG}style").text
    assert "url" not in style
    assert "@import" not in style
    selectors = re.findall(r"([^{};]+)\{", style.replace("@media (prefers-color-scheme: dark) {", ""))
    assert all(part.strip().startswith(".tg-graph") for each in selectors for part in each.split(","))
    for name in ("ink", "paper", "line", "leaf", "op", "grad", "accent"):
        assert style.count(f"var(--tg-{name}, #") == 2  # the page's colour wins, in the light and in the dark


def test_svg_of_a_recording_is_the_picture_of_its_loss():
    loss, *_ = regression()
    recording = Recording(loss)
    assert svg_of(recording) == debug.draw(recording).svg
    folded, _ = deep(8)
    assert len(Seen(svg_of(Recording(folded), fold=True)).boxes) < len(Seen(svg_of(Recording(folded))).boxes)


def test_a_notebook_shows_the_picture():
    loss, *_ = regression()
    drawing = debug.draw(loss)
    assert drawing._repr_svg_() == drawing.svg
    assert drawing.svg in drawing._repr_html_()
    assert str(drawing) == drawing.text
    assert repr(drawing) == f"<Drawing 7 boxes, 6 arrows: loss = {loss.item():.4f}>"


@pytest.mark.parametrize(
    ("ending", "form"), [("svg", "svg"), ("SVG", "svg"), ("txt", "text"), ("dot", "dot"), ("gv", "dot")]
)
def test_a_file_is_written_in_the_form_of_its_ending(tmp_path, ending, form):
    loss, *_ = regression()
    path = tmp_path / "new" / f"graph.{ending}"
    drawing = debug.draw(loss, path)
    assert path.read_text(encoding="utf-8") == getattr(drawing, form).rstrip() + "\n"


def test_the_form_of_a_file_can_be_given(tmp_path):
    loss, *_ = regression()
    debug.draw(loss, str(tmp_path / "graph"), format="dot")
    assert (tmp_path / "graph").read_text().startswith("digraph {")


def test_other_forms_are_refused_before_anything_is_drawn(tmp_path):
    loss, *_ = regression()
    with pytest.raises(ArgumentError, match=r"\.svg, \.txt, \.dot, \.gv"):
        debug.draw(loss, tmp_path / "graph.png")
    with pytest.raises(ArgumentError, match="unknown format 'png'"):
        debug.draw(loss, tmp_path / "graph", format="png")
    with pytest.raises(ArgumentError, match=r"\.svg, \.txt, \.dot, \.gv"):
        debug.draw(loss, tmp_path / "graph")
    with pytest.raises(ArgumentError, match="unknown format 'png'"):
        debug.draw(loss, format="png")
    with pytest.raises(ArgumentError, match="path is 5"):
        debug.draw(loss, 5, format="svg")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    loss, *_ = regression()
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        debug.draw(loss, tmp_path / "file" / "graph.svg")
    (tmp_path / "graph.svg").mkdir()
    with pytest.raises(FileError, match="is a folder"):
        debug.draw(loss, tmp_path / "graph.svg")


def test_what_has_no_graph_is_refused():
    with pytest.raises(GradientError, match=r"draw: this tensor .* carries no gradient"):
        debug.draw(Tensor([1.0, 2.0]))
    with pytest.raises(DTypeError, match="draw: takes a tensor"):
        debug.draw(3.0)
    with pytest.raises(DTypeError, match="draw: takes a tensor"):
        debug.draw(np.ones(3))


def test_values_that_an_optimiser_changed_are_not_drawn():
    loss, W, b = regression()
    loss.backward()
    optim.SGD([W, b], lr=0.1).step()
    with pytest.raises(StaleValueError, match="draw: the tape is stale"):
        debug.draw(loss)


def test_a_leaf_alone_is_a_picture():
    x = Tensor(2.0, requires_grad=True, name="x")
    drawing = debug.draw(x)
    assert_legible(drawing)
    assert [texts[0] for texts in Seen(drawing.svg).of_kind("leaf")] == ["x"]
    assert "grad   1" in drawing.text


@pytest.mark.parametrize("make", [regression, deep, lambda: (recurrent(20),)], ids=["regression", "deep", "recurrent"])
def test_graphviz_gets_the_same_boxes_and_arrows(make):
    drawing = debug.draw(make()[0])
    boxes, arrows = read_dot(drawing.dot)
    seen = Seen(drawing.svg)
    assert [label.split("  ")[0] for label in boxes.values()] == [seen.texts(box)[0] for box in seen.boxes]
    assert len(arrows) == len(seen.arrows)
    if shutil.which("dot"):  # its own verdict, where it is installed
        command = ["dot", "-Tplain"]
        told = subprocess.run(command, input=drawing.dot, capture_output=True, text=True, check=True, timeout=60)
        kinds = [line.split()[0] for line in told.stdout.splitlines()]
        assert (kinds.count("node"), kinds.count("edge"), told.stderr) == (len(boxes), len(arrows), "")
