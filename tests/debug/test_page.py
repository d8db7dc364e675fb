"""The page without a browser: what its data say, its size, what is escaped, and what bad input gets."""

import base64
import hashlib
import os
import re
import threading
from html import unescape

import numpy as np
import pytest
from pages import Tags, data_of, mlp, op_samples, small

import tinygrad_sm as tg
from tinygrad_sm import optim
from tinygrad_sm.debug import player
from tinygrad_sm.debug.pages import page as page_module
from tinygrad_sm.debug.pages.arrays import describe_array, statistics, summary
from tinygrad_sm.debug.pages.data import with_numbers
from tinygrad_sm.debug.recording import Recording
from tinygrad_sm.engine.primitive import PRIMITIVES
from tinygrad_sm.errors import ArgumentError, DTypeError, FileError, GradientError, StaleValueError


@pytest.fixture
def halves():
    """An operation of a user's own with two outputs, which no other test meets."""

    def halves(x):
        """The first and the second half."""
        return x[: len(x) // 2].copy(), x[len(x) // 2 :].copy()

    op = tg.primitive(method=False)(halves)

    @op.vjp("x")
    def halves_vjp_x(g, out, x):
        return np.concatenate(g)

    yield op
    del PRIMITIVES["halves"]


def array_of(data, step, name):
    """The numbers of the last tensor of a name in a step, read back as JavaScript would read them."""
    number = [each["array"] for each in data["steps"][step]["tensors"] if each["name"] == name][-1]
    return np.array([[float(value) for value in row] for row in data["arrays"][number]["values"]])


def test_the_page_lies_where_it_was_asked_for_and_is_returned(tmp_path):
    _, loss = small()
    page = player(loss, tmp_path / "new folder" / "out.html")
    assert page.path.read_text(encoding="utf-8") == page.html
    assert page.html.startswith("<!DOCTYPE html>")
    assert re.fullmatch(r"<Page '.*out.html' 6 steps, \d+ kB>", repr(page))


def test_the_numbers_are_those_of_the_arrays_and_of_backward(tmp_path):
    leaves, loss = small()
    data = data_of(player(loss, tmp_path / "out.html"))
    loss.backward()
    x, W = leaves["x"], leaves["W"]
    assert [step["op"] for step in data["steps"]] == [
        "matmul",
        "add",
        "cross_entropy",
        "cross_entropy",
        "add",
        "matmul",
    ]
    assert [step["phase"] for step in data["steps"]] == ["forward"] * 3 + ["backward"] * 3
    np.testing.assert_allclose(array_of(data, 0, "x"), x.data, rtol=1e-5)
    product = next(each["name"] for each in data["steps"][0]["tensors"] if each["role"] == "out")
    np.testing.assert_allclose(array_of(data, 0, product), x.data @ W.data, rtol=1e-5)
    np.testing.assert_allclose(array_of(data, 5, "g_W"), W.grad, rtol=1e-5)
    np.testing.assert_allclose(array_of(data, 5, "g_x"), x.grad, rtol=1e-5)
    np.testing.assert_allclose(array_of(data, 4, "g_b"), leaves["b"].grad[None], rtol=1e-5)


def test_playing_leaves_the_gradients_and_the_tape_alone(tmp_path):
    leaves, loss = small()
    player(loss, tmp_path / "out.html")
    assert all(leaf.grad is None for leaf in leaves.values())
    loss.backward()
    assert leaves["W"].grad is not None


def test_a_value_used_twice_shows_each_contribution_and_what_has_come_together(tmp_path):
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    data = data_of(player((x * 3.0 + x * x).sum(), tmp_path / "out.html"))
    (value,) = [each for each in data["values"] if each["name"] == "x"]
    assert value["made"] is None
    assert [each["part"] for each in value["gradients"]] == ["1 of 3", "2 of 3", ""]
    assert value["gradients"][-1]["summary"] == "[5, 7]"
    notes = [each["note"] for step in data["steps"] for each in step["tensors"] if each["name"] == "g_x"]
    assert "to x.grad, contribution 1 of 3" in notes
    assert "the sum of 3 of 3 contributions" in notes


def test_what_arrives_is_tied_to_the_letter_that_the_rules_have_for_it(tmp_path):
    for step in data_of(player(small()[1], tmp_path / "out.html"))["steps"]:
        notes = [(each["role"], each["note"]) for each in step["tensors"] if each["role"] == "arrives"]
        assert notes == ([("arrives", "g in the formulas")] if step["phase"] == "backward" else [])


def test_what_broadcasting_stretched_is_shown_before_and_after_the_sum(tmp_path):
    _, loss = small()
    step = data_of(player(loss, tmp_path / "out.html"))
    shapes = [step["arrays"][each["array"]]["shape"] for each in step["steps"][4]["tensors"] if each["name"] == "g_b"]
    assert shapes == ["(4, 2)", "(2,)"]


def test_a_gradient_is_known_only_after_the_step_that_sends_it(tmp_path):
    _, loss = small()
    values = {each["name"]: each for each in data_of(player(loss, tmp_path / "out.html"))["values"]}
    assert values["loss"]["made"] == 2
    assert [each["step"] for each in values["loss"]["gradients"]] == [3]
    assert [each["step"] for each in values["W"]["gradients"]] == [5]


def test_a_recording_and_a_cotangent_are_taken_too(tmp_path):
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    y = x * x
    data = data_of(player(y, tmp_path / "a.html", cotangent=[1.0, 10.0], title="Two of them"))
    np.testing.assert_array_equal(array_of(data, 1, "g_x"), [[2.0, 40.0]])
    assert data["title"] == "Two of them"
    again = data_of(player(Recording(y, [1.0, 10.0]), tmp_path / "b.html", title="Two of them"))
    assert again["arrays"] == data["arrays"]


def test_the_very_expression_is_marked_by_characters_on_every_line(tmp_path):
    grösse = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = ("ü", (grösse * grösse).sum())[1] + (
        grösse
        - 1.0
    ).sum()  # fmt: skip
    data = data_of(player(loss, tmp_path / "out.html"))
    lines = dict(pair for part in data["files"][0]["parts"] for pair in part)
    marked = {
        step["op"]: [lines[line][start:end] for line, start, end in step["marks"]]
        for step in data["steps"]
        if step["phase"] == "forward"
    }
    assert marked["multiply"] == ["grösse * grösse"]
    assert marked["subtract"] == ["grösse", "- 1.0"]


def test_code_from_several_files_and_code_without_a_source(tmp_path):
    (tmp_path / "helper.py").write_text("def square(x):\n    return x * x\n", encoding="utf-8")
    helper, nowhere = {}, {}
    code = (tmp_path / "helper.py").read_text(encoding="utf-8")
    exec(compile(code, str(tmp_path / "helper.py"), "exec"), helper)
    exec("def double(x):\n    return x + x\n", nowhere)
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    data = data_of(player(nowhere["double"](helper["square"](x)).sum(), tmp_path / "out.html"))
    parts = {file["name"]: file["parts"] for file in data["files"]}
    assert parts[str(tmp_path / "helper.py")] == [[[1, "def square(x):"], [2, "    return x * x"]]]
    assert parts["<string>"] == []
    assert any(part for name, part in parts.items() if name.endswith("test_page.py"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_survives(tmp_path, value):
    x = tg.Tensor([value, 1.0, 0.0], requires_grad=True, name="x")
    data = data_of(player((x * 2.0).sum(), tmp_path / "out.html"))
    np.testing.assert_array_equal(array_of(data, 0, "x"), [[value, 1.0, 0.0]])
    found = statistics(x.data)
    assert (found["NaN"], found["infinite"], found["zeros"]) == (np.isnan(value), np.isinf(value), 1)
    assert (found["min"], found["max"], found["mean"]) == (0.0, 1.0, 0.5)


def test_what_overflowed_is_shown_and_not_warned_of_again(tmp_path):
    x = tg.Tensor([1e300, -1e-300, 1e200], requires_grad=True, name="x")
    with np.errstate(over="ignore"):
        loss = (x * x).sum()
    data = data_of(player(loss, tmp_path / "out.html"))
    assert data["overview"].startswith("loss = inf")
    np.testing.assert_array_equal(array_of(data, 3, "g_x"), [[2e300, -2e-300, 2e200]])


def test_an_operation_with_several_outputs_shows_each_with_its_cotangent(tmp_path, halves):
    x = tg.Tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True, name="x")
    low, high = halves(x)
    data = data_of(player((low * high).sum(), tmp_path / "out.html"))
    outputs = [each["name"] for each in data["steps"][0]["tensors"] if each["role"] == "out"]
    assert outputs == ["low", "high"]
    np.testing.assert_array_equal(array_of(data, -1, "g_low"), [[3.0, 4.0]])
    np.testing.assert_array_equal(array_of(data, -1, "g_high"), [[1.0, 2.0]])
    np.testing.assert_array_equal(array_of(data, -1, "g_x"), [[3.0, 4.0, 1.0, 2.0]])


def test_statistics_are_those_of_the_whole_and_the_part_is_the_slice_that_it_names():
    array = np.random.default_rng(0).normal(3.0, 2.0, (50, 784))
    described = describe_array(array, rows=24, columns=60)
    assert described["part"] == "17 of 50 rows, 56 of 784 columns: [::3, ::14]"
    np.testing.assert_allclose(described["values"], array[::3, ::14], rtol=1e-5)
    assert described["rows"][1] == "3"
    assert described["columns"][1] == "14"
    found = described["statistics"]
    assert found["size"] == array.size
    expected = (array.min(), array.max(), array.mean(), array.std(), np.sqrt((array**2).sum()))
    np.testing.assert_allclose([found[name] for name in ("min", "max", "mean", "std", "norm")], expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 4), (4, 0), (2, 3), (2, 3, 4), (1, 2, 3, 4)])
def test_arrays_of_every_shape_are_tables(shape):
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float64).reshape(shape)
    described = describe_array(array)
    assert described["part"] == ""
    assert described["shape"] == str(shape)
    assert [value for row in described["values"] for value in row] == array.ravel().tolist()
    assert [len(row) for row in described["values"]] == [len(described["columns"])] * len(described["rows"])
    if len(shape) > 2:
        assert described["rows"][-1] == ", ".join(str(n - 1) for n in shape[:-1])


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "uint64", "bool", "complex128", "U3", "object"])
def test_arrays_of_every_type_are_described(dtype):
    array = np.array([1, 0, 3]).astype(dtype)
    described = describe_array(array)
    assert described["dtype"] == str(array.dtype)
    assert len(described["values"][0]) == 3
    assert bool(described["statistics"]) == (array.dtype.kind in "fiub")
    assert summary(array)


def test_a_large_tensor_is_summed_up_by_its_range():
    assert summary(np.arange(100.0)) == "0 … 99"
    assert summary(np.full((3, 3), -0.5)) == "all -0.5"
    assert summary(np.array([[1.0, 2.5]])) == "[[1, 2.5]]"
    assert summary(np.full(10, np.nan)) == "10 of 10 not finite"
    assert summary(np.zeros((0, 3))) == "[]"


def test_names_give_way_to_numbers_and_functions_and_options_do_not():
    values = {"x": np.array(2.0), "W": np.zeros((3, 4)), "axis": np.array(9.0), "sum": np.array(9.0)}
    assert with_numbers("h = x.T @ W", values) == "h = 2.T @ (3, 4)"
    assert with_numbers("h = np.sum(x, axis=0) + sum(W)", values) == "h = np.sum(2, axis=0) + sum((3, 4))"


def test_markup_in_the_code_and_the_title_is_text(tmp_path):
    x = tg.Tensor([1.0], requires_grad=True, name="x")
    loss = (x * len("</script><script>alert(1)</script><!--")).sum()
    page = player(loss, tmp_path / "out.html", title='</title><script>alert("2")</script>\u2028')
    tags = Tags(page.html)
    assert [tag for tag, _ in tags.tags].count("script") == 2
    data = data_of(page)
    assert data["title"] == '</title><script>alert("2")</script>\u2028'
    assert any("</script><script>alert(1)" in text for part in data["files"][0]["parts"] for _, text in part)
    assert "\u2028" not in tags.raw["application/json"]


def test_a_title_that_no_encoding_has_does_no_harm(tmp_path):
    _, loss = small()
    page = player(loss, tmp_path / "out.html", title="half \ud800 a pair")
    assert page.path.read_text(encoding="utf-8") == page.html


def test_nothing_is_fetched_and_no_attribute_is_a_script(tmp_path):
    _, loss = small()
    tags = Tags(player(loss, tmp_path / "out.html").html)
    addresses = [value for _, attrs in tags.tags for name, value in attrs.items() if name in ("src", "href", "srcset")]
    assert [each for each in addresses if not each.startswith(("#", "data:"))] == []
    assert [name for _, attrs in tags.tags for name in attrs if name.startswith("on")] == []
    (policy,) = [attrs["content"] for tag, attrs in tags.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(tags.raw["script"].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy


def test_the_code_of_the_page_is_small():
    sizes = {path.name: path.stat().st_size for path in page_module.FOLDER.glob("page.*") if path.suffix != ".py"}
    assert set(sizes) == {"page.html", "page.css", "page.js"}
    assert sum(sizes.values()) < 60_000, sizes


def test_the_page_of_an_mlp_is_under_a_megabyte_and_says_what_it_leaves_out(tmp_path):
    page = player(mlp(), tmp_path / "mlp.html")
    assert page.path.stat().st_size < 1_000_000
    assert "of 784 columns" in page.html


def test_many_tensors_are_shown_in_smaller_parts(tmp_path):
    x = tg.Tensor(np.ones((60, 60)), requires_grad=True)
    y = x
    for _ in range(150):
        y = y * 1.01
    page = player(y.sum(), tmp_path / "out.html")
    assert page.path.stat().st_size < 2_000_000
    largest = max(len(array["rows"]) for array in data_of(page)["arrays"])
    assert largest < 24


def test_every_operation_has_a_page(tmp_path):
    shown = []
    for name, out, cotangent in op_samples():
        data = data_of(player(out, tmp_path / "out.html", cotangent=cotangent))
        assert data["steps"][-1]["op"] == name
        assert data["steps"][-1]["phase"] == "backward"
        assert all(step["formulas"] for step in data["steps"])
        shown.append(name)
    assert len(shown) > 50


def test_a_notebook_gets_the_table_and_the_graph_before_the_player(tmp_path):
    _, loss = small()
    page = player(loss, tmp_path / "out.html")
    shown = page._repr_html_()
    before, frame = shown.split("<iframe ")
    assert before.count("<tr>") == 1 + 6
    assert before.index("<table>") < before.index("<svg")
    assert "matmul" in before
    assert "<script" not in before
    (source,) = re.findall(r'srcdoc="([^"]*)"', frame)
    assert unescape(source) == page.html


def test_the_list_for_browsers_without_scripts_has_every_step(tmp_path):
    _, loss = small()
    page = player(loss, tmp_path / "out.html")
    (section,) = re.findall(r"<noscript>(.*?)</noscript>", page.html, re.DOTALL)
    rows = re.findall(r"<th scope=row>(\d+)</th><td>(\w+)</td><td>(\w+)</td>", section)
    assert rows[3] == ("4", "backward", "cross_entropy")
    assert [number for number, _, _ in rows] == [str(i) for i in range(1, 7)]


def test_a_path_that_cannot_be_written_leaves_nothing(tmp_path):
    _, loss = small()
    with pytest.raises(FileError, match="folder"):
        player(loss, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        player(loss, tmp_path / "file" / "out.html")
    assert os.listdir(tmp_path) == ["file"]


def test_a_constant_a_leaf_and_what_is_no_tensor(tmp_path):
    path = tmp_path / "out.html"
    with pytest.raises(GradientError, match=r"debug\.player: .* no gradient"):
        player(tg.Tensor([1.0]) * 2.0, path)
    with pytest.raises(GradientError, match="leaf"):
        player(tg.Tensor(1.0, requires_grad=True), path)
    with pytest.raises(GradientError, match="left the backward pass out"):
        player(Recording(small()[1], gradients=False), path)
    with pytest.raises(DTypeError, match=r"debug\.player: takes a tensor, not \(2,\) float64"):
        player(np.ones(2), path)
    with pytest.raises(DTypeError, match=r"debug\.player: takes a tensor, not float"):
        player(0.5, path)
    with pytest.raises(DTypeError, match="title is int"):
        player(small()[1], path, title=3)
    with pytest.raises(DTypeError, match="path is int"):
        player(small()[1], 3)
    with pytest.raises(GradientError, match="scalar"):
        player(tg.Tensor([1.0, 2.0], requires_grad=True) * 2.0, path)
    assert not path.exists()


def test_a_recording_takes_no_second_cotangent(tmp_path):
    with pytest.raises(ArgumentError, match="cotangent already"):
        player(Recording(small()[1]), tmp_path / "out.html", cotangent=1.0)


def test_a_stale_tape_is_refused_before_and_after_it_was_recorded(tmp_path):
    leaves, loss = small()
    recording = Recording(loss)
    loss.backward()
    optim.SGD([leaves["W"]], lr=0.1).step()
    for stale in (loss, recording):
        with pytest.raises(StaleValueError, match="stale"):
            player(stale, tmp_path / "out.html")


def test_too_many_steps_are_refused_with_advice(tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_STEPS", 5)
    with pytest.raises(ArgumentError, match=r"(?s)6 steps are too many for a page, which holds 5.*debug\.step"):
        player(small()[1], tmp_path / "out.html")


def test_too_large_a_page_is_refused_and_says_what_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "LARGEST", 70_000)
    with pytest.raises(ArgumentError, match=r"(?s)would have 0\.\d MB, of which the tensors take .*smaller batch"):
        player(mlp(), tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()


def test_an_operation_with_hundreds_of_operands_shows_some_and_says_how_many_it_leaves_out(tmp_path):
    parts = [tg.Tensor([float(i)], requires_grad=True) for i in range(300)]
    data = data_of(player(tg.concatenate(parts).sum(), tmp_path / "out.html"))
    step = next(step for step in data["steps"] if step["op"] == "concatenate")
    assert step["leftOut"] == 300 - 24
    assert sum(tensor["role"] == "in" for tensor in step["tensors"]) == 24
    assert len(step["sentence"]) <= 400


def test_a_page_is_written_over_an_older_one_and_from_several_threads(tmp_path):
    path = tmp_path / "out.html"
    recordings = [Recording(small()[1]) for _ in range(4)]
    pages = []
    threads = [
        threading.Thread(target=lambda r, i: pages.append(player(r, tmp_path / f"{i}.html")), args=(r, i))
        for i, r in enumerate(recordings)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({page.html for page in pages}) == 1
    path.write_text("older")
    assert player(recordings[0], path).html == path.read_text(encoding="utf-8")
