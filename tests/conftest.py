"""What every test stands on: reproducible property tests, no windows, and a flag that refuses skipped tests."""

import os

import pytest
from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"  # for demos and commands in subprocesses too: nothing may open a window

# The same examples on every machine and in every run; a slow machine is no reason to fail.
settings.register_profile("tinygrad_sm", derandomize=True, database=None, deadline=None)
settings.load_profile("tinygrad_sm")


def pytest_addoption(parser):
    parser.addoption("--no-skips", action="store_true", help="a skipped test or test file is a failure")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item):
    report = yield
    return _refuse_skip(report, item.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    report = yield
    return _refuse_skip(report, collector.config)


def _refuse_skip(report, config):
    # A test that is marked as an expected failure counts as skipped for pytest, but it did run.
    if report.skipped and not hasattr(report, "wasxfail") and config.getoption("--no-skips"):
        _, _, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}\nSkipping is not allowed here (--no-skips)."
    return report
