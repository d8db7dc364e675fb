"""A headless browser for the tests of the page: Debian's chromium, driven by Playwright, without any download."""

import contextlib
import shutil

import pytest

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@contextlib.contextmanager
def started():
    """A browser; the test is skipped where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright drives the browser: pip install playwright"
    )
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser, path, address="", **options):
    """A page of the player as somebody has it open; at the end it has asked for nothing and complained of nothing."""
    context = browser.new_context(**{"viewport": {"width": 1600, "height": 900}, **options})
    try:
        page = context.new_page()
        page.set_default_timeout(10_000)
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{path.as_uri()}{address}")
        yield page
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert said == []
    finally:
        context.close()


def press(page, button):
    """Click a button by its id, also one that is at its end, which has nothing to do but may be clicked."""
    page.click(f"#{button}", force=True)


def stop_clock(page):
    """From here on only `page.clock.run_for` moves the page's clock; one that is merely installed goes on by itself."""
    page.clock.install(time=0)
    page.clock.pause_at(3_600_000)


def wait_until(page, expression):
    """Wait for an expression to be true. `page.wait_for_function` is forbidden by the policy of the page itself."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


def step_shown(page):
    """The number of the step, the same in the counter, on the slider and in the address."""
    counter = int(page.text_content("#counter").split("/")[0])
    assert int(page.input_value("#slider")) == counter
    return counter


def table(page, selector):
    """The rows of a table as they are read."""
    return page.eval_on_selector_all(
        f"{selector} tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )


def figures(page):
    """The tensors that are shown: (name, heading of the group, text of the caption, numbers in the cells)."""
    return page.eval_on_selector_all(
        "#tensors figure",
        """figures => figures.map(figure => ({
            name: figure.querySelector("caption code, figcaption code").textContent,
            group: figure.closest(".group").querySelector("h3").textContent,
            caption: figure.querySelector("caption, figcaption").textContent,
            numbers: [...figure.querySelectorAll("tbody tr")].map(
                row => [...row.querySelectorAll("td")].map(cell => cell.title)
            ),
        }))""",
    )


def overflow(page):
    """By how many pixels the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")
