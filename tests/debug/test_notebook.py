"""The readers in a notebook: a real kernel runs cells, answers the prompt of the stepper, and shows what displays."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TIMEOUT = 60

pytestmark = [pytest.mark.extra, pytest.mark.slow]

LOSS = """\
import numpy as np
import tinygrad_sm as tg
import tinygrad_sm.nn.functional as F
from tinygrad_sm import Tensor, debug

x, labels = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([0, 1])
W = Tensor([[0.5, -1.0], [0.25, 2.0]], requires_grad=True)
loss = F.cross_entropy(tg.tanh(x @ W), labels)
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel in an empty folder."""
    jupyter_client = pytest.importorskip("jupyter_client")
    pytest.importorskip("ipykernel")
    folder = tmp_path_factory.mktemp("notebook")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / "ipython"), "NO_COLOR": "1"}
    manager = jupyter_client.KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(folder), env=environment)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=TIMEOUT)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client, code, answers=()):
    """Run a cell, answering what it asks for; returns what it printed, the types it displayed, and its error."""
    answers = iter(answers)
    printed, displayed, errors = [], [], []

    def output(message):
        content = message["content"]
        if message["msg_type"] == "stream":
            printed.append(content["text"])
        elif message["msg_type"] in ("execute_result", "display_data"):
            displayed.append(content["data"])
        elif message["msg_type"] == "error":
            errors.append("\n".join(content["traceback"]))

    def answer(message):
        printed.append(message["content"]["prompt"] + "\n")
        client.input(next(answers))

    client.execute_interactive(code, allow_stdin=True, stdin_hook=answer, output_hook=output, timeout=TIMEOUT)
    assert not errors, errors[0]
    return "".join(printed), displayed


def test_the_stepper_asks_in_the_notebook_and_quotes_the_cell(kernel):
    run(kernel, LOSS)
    printed, _ = run(kernel, "debug.step(loss)", ["n", "n", "why g_W[0,1]", "nonsense", "b", "q"])
    assert "       8 | loss = F.cross_entropy(tg.tanh(x @ W), labels)" in printed
    rows = printed.splitlines()
    shown = [
        rows[i + 1] for i, row in enumerate(rows) if row.endswith("loss = F.cross_entropy(tg.tanh(x @ W), labels)")
    ]
    underlined = {row.partition("|")[2].strip() for row in shown}
    line = "loss = F.cross_entropy(tg.tanh(x @ W), labels)"
    for expression in ("F.cross_entropy(tg.tanh(x @ W), labels)", "tg.tanh(x @ W)", "x @ W"):
        assert "~" * len(expression) in underlined
        assert expression in line
    assert re.search(r"cross_entropy +In\[\d+\]:8$", printed, re.MULTILINE)
    assert "g_W = x.T @ g" in printed
    assert "as recorded" in printed


def test_without_an_answer_to_give_the_stepper_ends(kernel):
    """As in a notebook that is run as a whole, where no input is allowed."""
    run(kernel, LOSS)
    printed = []
    reply = kernel.execute_interactive(
        "debug.step(loss)\nprint('went on')",
        allow_stdin=False,
        output_hook=lambda message: printed.append(message["content"].get("text", "")),
        timeout=TIMEOUT,
    )
    assert reply["content"]["status"] == "ok"
    assert "went on" in "".join(printed)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("debug.draw(loss)", "image/svg+xml"),
        ("debug.source(loss)", "text/html"),
        ("debug.player(loss, 'page.html')", "text/html"),
    ],
)
def test_what_displays_itself(kernel, code, kind):
    run(kernel, LOSS)
    _, displayed = run(kernel, code)
    assert len(displayed) == 1
    assert kind in displayed[0]
    assert len(displayed[0][kind]) > 200
