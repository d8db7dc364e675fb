"""The page in a real browser: every control, every view, light and dark, wide and narrow, and no network."""

import re

import numpy as np
import pytest
from browsing import figures, opened, overflow, press, started, step_shown, stop_clock, table, wait_until
from pages import data_of, mlp, op_samples, small

import tinygrad_sm as tg
from tinygrad_sm.debug import player
from tinygrad_sm.debug.recording import Recording

pytestmark = [pytest.mark.extra, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser():
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The page of a linear layer and a cross-entropy: three steps forward, three back."""
    leaves, loss = small()
    path = tmp_path_factory.mktemp("pages") / "small.html"
    player(loss, path)
    loss.backward()
    return path, leaves, loss


def test_every_button_goes_where_it_says(browser, shown):
    with opened(browser, shown[0]) as page:
        assert step_shown(page) == 1
        for button, step in [("last", 6), ("forward", 6), ("back", 5), ("first", 1), ("back", 1), ("forward", 2)]:
            press(page, button)
            assert step_shown(page) == step, button
        press(page, "first")
        assert page.get_attribute("#back", "aria-disabled") == "true"
        assert page.get_attribute("#last", "aria-disabled") == "false"


def test_the_keyboard_does_the_same(browser, shown):
    with opened(browser, shown[0]) as page:
        keys = [("ArrowRight", 2), ("End", 6), ("ArrowRight", 6), ("ArrowLeft", 5), ("Home", 1), ("ArrowLeft", 1)]
        for key, step in keys:
            page.keyboard.press(key)
            assert step_shown(page) == step, key
        page.keyboard.press("Control+ArrowRight")
        assert step_shown(page) == 1


def test_a_button_reached_by_tab_is_pressed_by_space_once(browser, shown):
    with opened(browser, shown[0]) as page:
        page.focus("#forward")
        page.keyboard.press("Space")
        assert step_shown(page) == 2
        assert page.get_attribute("#play", "aria-label") == "Play"
        for _ in range(6):
            page.keyboard.press("Enter")
        assert step_shown(page) == 6
        assert page.evaluate("document.activeElement.id") == "forward"  # the focus stays on a button at its end


def test_the_slider_moves_by_mouse_and_by_keys(browser, shown):
    with opened(browser, shown[0]) as page:
        page.fill("#slider", "4")
        assert step_shown(page) == 4
        page.focus("#slider")
        page.keyboard.press("ArrowRight")
        assert step_shown(page) == 5
        page.keyboard.press("Home")
        assert step_shown(page) == 1
        assert page.get_attribute("#slider", "aria-valuetext") == "1 of 6, forward matmul"


def test_play_goes_on_by_itself_to_the_end_and_pause_stops_it(browser, shown):
    with opened(browser, shown[0]) as page:
        stop_clock(page)
        page.select_option("#speed", "400")
        press(page, "play")
        assert page.get_attribute("#play", "aria-label") == "Pause"
        page.clock.run_for(850)
        assert step_shown(page) == 3
        page.keyboard.press("Escape")  # means nothing here
        press(page, "play")
        page.clock.run_for(5000)
        assert step_shown(page) == 3
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Space")
        page.clock.run_for(5000)
        assert step_shown(page) == 6
        assert page.get_attribute("#play", "aria-label") == "Play"
        page.keyboard.press("Space")  # at the end it plays from the start
        assert step_shown(page) == 1
        page.select_option("#speed", "2400")
        page.clock.run_for(2350)
        assert step_shown(page) == 1
        page.clock.run_for(100)
        assert step_shown(page) == 2
        press(page, "forward")  # whoever steps by hand has taken over
        page.clock.run_for(5000)
        assert step_shown(page) == 3
        assert page.get_attribute("#play", "aria-label") == "Play"


def test_a_link_opens_at_its_step_and_the_address_follows(browser, shown):
    with opened(browser, shown[0], "#step=5") as page:
        assert step_shown(page) == 5
        press(page, "forward")
        assert page.evaluate("location.hash") == "#step=6"
        page.evaluate("location.hash = '#step=2'")
        wait_until(page, "document.getElementById('counter').textContent.startsWith('2')")
        page.evaluate("location.hash = '#step=99'")
        wait_until(page, "document.getElementById('counter').textContent.startsWith('6')")
        page.evaluate("location.hash = '#elsewhere'")
        assert step_shown(page) == 6


@pytest.mark.parametrize("address", ["", "#step=", "#step=x", "#step=-3", "#step=0"])
def test_a_link_to_no_step_opens_at_the_first(browser, shown, address):
    with opened(browser, shown[0], address) as page:
        assert step_shown(page) == 1


def test_the_numbers_on_the_screen_are_those_of_the_arrays(browser, shown):
    path, leaves, _ = shown
    x, W, b = leaves["x"], leaves["W"], leaves["b"]
    expected = {
        1: {"x": x.data, "W": W.data},
        2: {"b": b.data[None]},
        5: {"g_b": b.grad[None]},
        6: {"g_W": W.grad, "g_x": x.grad, "x": x.data},
    }
    for step, arrays in expected.items():
        with opened(browser, path, f"#step={step}") as page:
            seen = {each["name"]: np.array(each["numbers"], dtype=float) for each in figures(page)}
            for name, array in arrays.items():
                np.testing.assert_allclose(seen[name], array, rtol=1e-5, err_msg=f"step {step}")


def test_a_step_shows_what_arrives_what_is_sent_and_what_was_kept(browser, shown):
    with opened(browser, shown[0], "#step=6") as page:
        groups = [(each["group"], each["name"]) for each in figures(page)]
        assert [name for group, name in groups if group == "sent"] == ["g_x", "g_W"]
        assert groups[0][0] == "arrives"
        assert {"x", "W"} <= {name for group, name in groups if group.startswith("kept")}
        assert "x.T @ g" in page.text_content("#formulas")
        assert "to W.grad" in page.text_content("#formulas")


def test_what_is_not_computed_yet_is_a_dash(browser, shown):
    _, _, loss = shown
    with opened(browser, shown[0]) as page:
        rows = {row[0]: row[1:] for row in table(page, "#values")}
        assert rows["loss"] == ["()", "–", "–"]
        assert rows["b"] == ["(2,)", "[0, 0]", "–"]
        gradients = []
        for _ in range(3):
            press(page, "forward")
            gradients.append({row[0]: row[3] for row in table(page, "#values")}["loss"])
        assert gradients == ["–", "–", "1"]
        press(page, "last")
        rows = {row[0]: row[1:] for row in table(page, "#values")}
        assert rows["loss"][1:] == [f"{float(loss):.4g}", "1"]
        assert "–" not in [cell for row in rows.values() for cell in row]
        press(page, "first")
        assert {row[0]: row[1:] for row in table(page, "#values")}["loss"] == ["()", "–", "–"]


def test_the_gradient_of_a_value_used_twice_comes_together_in_sight(browser, tmp_path):
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    player((x * 3.0 + x * 4.0).sum(), tmp_path / "out.html")
    seen = []
    with opened(browser, tmp_path / "out.html") as page:
        for _ in range(8):
            seen.append({row[0]: row[3] for row in table(page, "#values")}["x"])
            press(page, "forward")
    # multiply, multiply, add and sum forwards, sum and add back: only then something reaches x
    assert seen == ["–"] * 6 + ["[4, 4]1 of 2 so far", "[7, 7]"]


def test_the_expression_that_runs_is_marked_in_the_code(browser, shown):
    with opened(browser, shown[0]) as page:
        marked = []
        for _ in range(3):
            marked.append(page.text_content("#code mark"))
            press(page, "forward")
        assert marked[:2] == ["x @ W", "x @ W + b"]
        assert marked[2].startswith("nn.functional.cross_entropy(")
        assert page.locator("#code .line.is-current").count() == 1


def test_the_number_of_a_line_is_a_link_to_its_first_step(browser, shown):
    with opened(browser, shown[0], "#step=5") as page:
        page.click("#code a")
        assert step_shown(page) == 1


def test_the_derived_source_marks_the_lines_of_the_step(browser, shown):
    with opened(browser, shown[0]) as page:
        assert "x @ W" in page.text_content("#derived .is-current")
        press(page, "last")
        assert "g_W" in " ".join(page.locator("#derived .is-current").all_text_contents())
        page.click("#derived a >> nth=0")
        assert step_shown(page) == 1


def test_clicking_a_box_of_the_graph_goes_to_its_step(browser, shown):
    path, _, loss = shown
    numbers = Recording(loss).names.number
    matmul = next(number for node, number in numbers.items() if node.name == "matmul")
    bias = next(number for node, number in numbers.items() if node.name == "b")
    with opened(browser, path, "#step=3") as page:
        page.click(f'.tg-box[data-nodes~="{matmul}"]')
        assert step_shown(page) == 1
        press(page, "last")
        page.click(f'.tg-box[data-nodes~="{bias}"]')  # a leaf: where its gradient comes from
        assert step_shown(page) == 5
        page.click(f'.tg-box[data-nodes~="{matmul}"]')  # on the way back it means the way back
        assert step_shown(page) == 6


def test_the_graph_shows_what_is_now_and_what_is_still_to_come(browser, shown):
    path, _, loss = shown
    node = {node.name: number for node, number in Recording(loss).names.number.items()}
    with opened(browser, path) as page:

        def classes(name):
            return set(page.get_attribute(f'.tg-box[data-nodes~="{node[name]}"]', "class").split()) - {"tg-box"}

        assert "is-current" in classes("matmul")
        assert "is-ahead" in classes("cross_entropy")
        assert "is-ahead" not in classes("x")
        assert page.locator(".tg-arrow.is-current").count() == 2
        press(page, "last")
        assert page.locator(".is-ahead").count() == 0
        assert "has-gradient" in classes("x")
        press(page, "back")
        assert "has-gradient" not in classes("x")


def test_the_boxes_of_the_graph_tell_a_value_once_it_is_there(browser, shown):
    path, _, loss = shown
    number = next(number for node, number in Recording(loss).names.number.items() if node.name == "cross_entropy")
    with opened(browser, path) as page:
        seen = []
        for _ in range(4):
            texts = page.locator(f'.tg-box[data-nodes="{number}"] text').all_text_contents()
            seen.append((texts[texts.index("value") + 1], texts[texts.index("grad") + 1]))
            press(page, "forward")
        value = seen[2][0]
        assert float(value) == pytest.approx(float(loss), rel=1e-3)
        assert seen == [("–", "–"), ("–", "–"), (value, "–"), (value, "1")]


def test_the_mark_counts_whole_characters(browser, tmp_path):
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = {"😀 é": (x * 2.0).sum()}["😀 é"]
    player(loss, tmp_path / "out.html")
    with opened(browser, tmp_path / "out.html") as page:
        assert page.text_content("#code mark") == "x * 2.0"


def test_each_step_is_announced_in_a_sentence(browser, shown):
    with opened(browser, shown[0]) as page:
        assert page.get_attribute("#sentence", "aria-live") == "polite"
        sentences = []
        for _ in range(6):
            sentences.append(page.text_content("#sentence"))
            page.keyboard.press("ArrowRight")
        assert len(set(sentences)) == 6
        assert sentences[0].startswith("Step 1 of 6, forward: matmul makes")
        assert re.search(r"backward: add takes the gradient of \w+ and passes it on to \w+ and b", sentences[4])


def test_everything_to_press_has_a_name_and_every_table_a_caption_and_headers(browser, shown):
    with opened(browser, shown[0], "#step=5") as page:
        nameless = page.eval_on_selector_all(
            "button, input, select, canvas, [role=region], [tabindex]",
            """all => all.filter(each => !(each.getAttribute("aria-label") || each.getAttribute("aria-labelledby")
                || each.labels?.length || each.matches("a") && each.textContent)).map(each => each.outerHTML)""",
        )
        assert nameless == []
        tables = page.eval_on_selector_all(
            "main table",
            "all => all.map(each => [!!each.caption, each.rows.length, each.querySelectorAll('th').length])",
        )
        assert tables
        assert all(caption for caption, _, _ in tables)
        assert page.evaluate("document.documentElement.lang") == "en"
        assert page.locator("h1").count() == 1


def test_the_focus_is_visible(browser, shown):
    with opened(browser, shown[0]) as page:
        page.keyboard.press("Tab")
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert page.evaluate("document.activeElement.id") == "first"
        assert style == "solid"


def brightness(page, selector="body"):
    """How bright a background is, from 0 to 255."""
    colour = page.eval_on_selector(selector, "element => getComputedStyle(element).backgroundColor")
    return np.mean([float(part) for part in re.findall(r"[\d.]+", colour)[:3]])


def test_light_and_dark_follow_the_system_and_the_button(browser, shown):
    with opened(browser, shown[0], color_scheme="dark") as page:
        assert brightness(page) < 80
        assert page.get_attribute("#theme", "aria-pressed") == "true"
        press(page, "theme")
        assert brightness(page) > 200
        assert page.get_attribute("#theme", "aria-pressed") == "false"
        press(page, "theme")
        assert brightness(page) < 80
    with opened(browser, shown[0], color_scheme="light") as page:
        assert brightness(page) > 200
        page.emulate_media(color_scheme="dark")
        assert brightness(page) < 80


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_number_stands_out_from_its_colour(browser, shown, scheme):
    with opened(browser, shown[0], "#step=6", color_scheme=scheme) as page:
        pairs = page.eval_on_selector_all(
            "#tensors td[title]", "all => all.map(each => [each.style.color, each.style.backgroundColor])"
        )
        assert len(pairs) > 20
        for ink, paper in pairs:
            assert contrast(ink, paper) > 4.5, (ink, paper)


TEXTS = """() => {
    const paper = (element) => {
        const colour = getComputedStyle(element).backgroundColor;
        return element.parentElement && colour.endsWith(", 0)") ? paper(element.parentElement) : colour;
    };
    const all = [...document.querySelectorAll("body *:not(script, style, svg *)")].filter((each) =>
        each.checkVisibility() && !each.closest("[aria-disabled=true]") &&
        [...each.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.textContent.trim()));
    const box = document.querySelector(".tg-box.is-current");
    const frame = getComputedStyle(box.querySelector(".tg-frame")).fill;
    return [
        ...all.map((each) => [each.textContent, getComputedStyle(each).color, paper(each)]),
        ...[...box.querySelectorAll("text")].map((each) => [each.textContent, getComputedStyle(each).fill, frame]),
    ];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_from_what_it_stands_on(browser, shown, scheme):
    with opened(browser, shown[0], "#step=5", color_scheme=scheme) as page:
        texts = page.evaluate(TEXTS)
        assert {"Values and gradients", "add", "g_b"} <= {text for text, _, _ in texts}
        assert [text for text, ink, paper in texts if contrast(ink, paper) < 4.5] == []
        assert page.eval_on_selector(".is-current .tg-tint", "tint => getComputedStyle(tint).opacity") == "0"


def contrast(*colours):
    """The contrast of two colours as WCAG 2 defines it."""
    luminances = []
    for colour in colours:
        parts = np.array([int(part) for part in re.findall(r"\d+", colour)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        luminances.append(linear @ [0.2126, 0.7152, 0.0722])
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def test_signs_have_colours_of_their_own_and_what_is_not_finite_is_told(browser, tmp_path):
    x = tg.Tensor([-1.0, 0.0, 1.0, np.nan, np.inf], requires_grad=True, name="x")
    player((x * 1.0).sum(), tmp_path / "out.html")
    with opened(browser, tmp_path / "out.html") as page:
        cells = page.locator("#tensors figure").first.locator("td[title]")
        assert cells.all_text_contents() == ["-1", "0", "1", "NaN", "∞"]
        colours = cells.evaluate_all("all => all.map(each => each.style.backgroundColor)")
        assert len(set(colours)) == 4
        red = [int(re.findall(r"\d+", colour)[0]) for colour in colours]
        blue = [int(re.findall(r"\d+", colour)[2]) for colour in colours]
        assert red[0] < blue[0]
        assert red[2] > blue[2]
        assert "not finite" in page.text_content("#tensors")


@pytest.mark.parametrize("width", [360, 768, 1024, 1280, 1600])
def test_nothing_is_wider_than_the_window(browser, shown, tmp_path, width):
    player(mlp(), tmp_path / "mlp.html", title="a very long title of one word " + "x" * 80)
    for path in (shown[0], tmp_path / "mlp.html"):
        with opened(browser, path, viewport={"width": width, "height": 800}) as page:
            for _ in range(8):
                assert overflow(page) <= 0
                page.keyboard.press("ArrowRight")


def test_nothing_moves_by_itself_where_motion_is_unwanted(browser, tmp_path):
    player(mlp(), tmp_path / "mlp.html")
    with opened(browser, tmp_path / "mlp.html", reduced_motion="reduce") as page:
        page.evaluate(
            """() => {
                window.wanted = [];
                Element.prototype.scrollBy = (options) => window.wanted.push(options.behavior);
            }"""
        )
        for _ in range(7):
            page.keyboard.press("ArrowRight")
        assert set(page.evaluate("window.wanted")) <= {"instant"}
        assert page.evaluate("document.getAnimations().length") == 0


def test_without_scripts_there_is_a_list_of_all_steps(browser, shown):
    with opened(browser, shown[0], java_script_enabled=False) as page:
        assert page.locator("noscript tr").count() == 1 + 6
        assert page.locator("noscript tr").nth(6).is_visible()
        assert not page.locator("#play").is_visible()
        assert not page.locator("#step-panel").is_visible()


def test_on_paper_there_are_no_controls_and_light_colours(browser, shown):
    with opened(browser, shown[0], "#step=6", color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert not page.locator("#play").is_visible()
        assert page.locator("#formulas").is_visible()
        assert len(page.pdf()) > 10_000


def test_the_page_of_an_mlp_steps_through_all_and_shows_large_tensors_in_part(browser, tmp_path):
    page_made = player(mlp(), tmp_path / "mlp.html")
    steps = len(data_of(page_made)["steps"])
    with opened(browser, tmp_path / "mlp.html") as page:
        assert page.locator("canvas").count() >= 2
        text = page.text_content("#tensors")
        assert "of 784 columns" in text
        assert "norm" in text
        for step in range(1, steps + 1):
            assert step_shown(page) == step
            assert page.text_content("#sentence").startswith(f"Step {step} of {steps}")
            page.keyboard.press("ArrowRight")
        press(page, "first")
        page.click("summary >> nth=0")
        page.wait_for_selector("details table")
        page.hover("canvas >> nth=0", position={"x": 30, "y": 30})
        assert re.search(r"\w+\[\d+, \d+\] = ", page.locator(".readout").first.text_content())


def test_a_picture_has_the_colours_of_its_numbers(browser, tmp_path):
    values = np.zeros((20, 30))
    values[2, 3], values[4, 5] = 1.0, -1.0
    x = tg.Tensor(values, requires_grad=True, name="x")
    player((x * 1.0).sum(), tmp_path / "out.html")
    with opened(browser, tmp_path / "out.html", color_scheme="light") as page:
        pixel = """(canvas, [x, y]) => {
            const surface = new OffscreenCanvas(canvas.width, canvas.height);
            const copy = surface.getContext("2d", { willReadFrequently: true });
            copy.drawImage(canvas, 0, 0);
            return [...copy.getImageData(x, y, 1, 1).data];
        }"""
        canvas = page.locator("canvas").first
        positive, negative, zero = (canvas.evaluate(pixel, place) for place in ([3, 2], [5, 4], [0, 0]))
        assert positive[0] > positive[2]
        assert negative[0] < negative[2]
        assert min(zero) > 230


def test_the_frame_of_a_notebook_plays_too(browser, tmp_path):
    page_made = player(small()[1], tmp_path / "out.html")
    (tmp_path / "notebook.html").write_text(
        f"<!DOCTYPE html><html><body>{page_made._repr_html_()}</body></html>", encoding="utf-8"
    )
    with opened(browser, tmp_path / "notebook.html") as page:
        frame = page.frame_locator("iframe")
        frame.locator("#last").click()
        assert frame.locator("#counter").text_content() == "6 / 6"
        frame.locator("#code a").first.click()
        assert frame.locator("#counter").text_content() == "1 / 6"


def test_every_operation_has_a_page_that_opens_and_steps(browser, tmp_path):
    count = 0
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for name, out, cotangent in op_samples():
        path = tmp_path / f"{name}.html"
        player(out, path, cotangent=cotangent)
        page.goto(path.as_uri())
        page.keyboard.press("End")
        assert page.text_content("#step-title").endswith(name)
        assert page.locator("#tensors figure").count() >= 2
        assert said == [], name
        count += 1
    context.close()
    assert count > 50


def test_markup_in_the_code_and_in_names_stays_text(browser, tmp_path):
    x = tg.Tensor([1.0], requires_grad=True, name="<img src=x onerror=alert(1)>")
    loss = (x * len("</script><script>document.title = 'caught'</script>")).sum()
    player(loss, tmp_path / "out.html", title="<b>bold</b> & co")
    with opened(browser, tmp_path / "out.html") as page:
        assert page.title() == "<b>bold</b> & co"
        assert page.locator("h1 b, main img").count() == 0


def test_space_plays_from_the_slider_too_and_held_down_it_plays_once(browser, shown):
    with opened(browser, shown[0]) as page:
        stop_clock(page)
        page.focus("#slider")
        for _ in range(2):  # the second is the repetition of a key that is held
            page.keyboard.down(" ")
        assert page.get_attribute("#play", "aria-label") == "Pause"
        page.keyboard.up(" ")
        page.keyboard.press(" ")
        assert page.get_attribute("#play", "aria-label") == "Play"


def test_keys_belong_to_what_has_a_use_for_them(browser, shown, tmp_path):
    x = tg.Tensor(np.arange(24.0), requires_grad=True, name="x" * 60)
    player((x * 2.0).sum(), tmp_path / "out.html")
    with opened(browser, tmp_path / "out.html", reduced_motion="reduce") as page:
        page.focus("#speed")
        before = page.input_value("#speed")
        page.keyboard.press("ArrowRight")
        assert (step_shown(page), page.input_value("#speed") != before) == (1, True)
        page.click("#derived", position={"x": 200, "y": 60})  # whoever clicks there goes on stepping
        page.keyboard.press("ArrowRight")
        assert step_shown(page) == 2
        page.locator("#graph").press("Tab")  # whoever comes by Tab wants to see what stands further right
        assert page.evaluate("document.activeElement.id") == "derived"
        page.keyboard.press("ArrowRight")
        wait_until(page, "document.getElementById('derived').scrollLeft > 0")
        assert step_shown(page) == 2
        page.focus("#play")
        page.keyboard.press("ArrowRight")
        assert step_shown(page) == 3


def test_the_address_changes_no_oftener_than_browsers_allow(browser, shown):
    with opened(browser, shown[0]) as page:
        at_once = page.evaluate(
            """() => {
                window.written = 0;
                const real = history.replaceState.bind(history);
                history.replaceState = (...all) => (window.written++, real(...all));
                const event = (key) => new KeyboardEvent("keydown", { key, bubbles: true });
                const press = (key) => document.body.dispatchEvent(event(key));
                for (let i = 0; i < 100; i++) press(i % 2 ? "ArrowLeft" : "ArrowRight");
                press("End");
                return window.written;
            }"""
        )
        assert at_once == 1
        wait_until(page, "location.hash === '#step=6'")
        assert page.evaluate("window.written") == 2


def test_tab_stops_where_there_is_something_to_do_and_not_at_every_line(browser, shown):
    with opened(browser, shown[0], "#step=6") as page:
        stops = page.eval_on_selector_all("#derived a", "all => all.filter(each => each.tabIndex === 0).length")
        assert 6 <= stops < 20 < page.locator("#derived a").count()
        assert page.eval_on_selector_all("#tensors .scroll", "all => all.every(each => each.tabIndex === -1)")
        page.set_viewport_size({"width": 360, "height": 700})
        page.evaluate("document.getElementById('tensors').style.width = '120px'")
        page.evaluate("dispatchEvent(new Event('resize'))")
        assert page.eval_on_selector_all("#tensors .scroll", "all => all.some(each => each.tabIndex === 0)")


def test_numbers_that_were_asked_for_stay_in_another_light(browser, tmp_path):
    player(mlp(), tmp_path / "mlp.html")
    with opened(browser, tmp_path / "mlp.html") as page:
        page.click("#tensors summary >> nth=1")
        page.wait_for_selector("#tensors details table")
        press(page, "theme")
        opened_now = page.eval_on_selector_all("#tensors details", "all => all.map(each => each.open)")
        assert opened_now.index(True) == 1
        assert sum(opened_now) == 1


def test_the_mark_is_in_sight_with_what_stands_before_it(browser, tmp_path):
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = {"far to the right, behind many words that have to be scrolled away if the panel is narrow": (x * 2.0).sum()}
    player(next(iter(loss.values())), tmp_path / "out.html")
    with opened(
        browser, tmp_path / "out.html", viewport={"width": 360, "height": 700}, reduced_motion="reduce"
    ) as page:
        left, right, numbers, end, scrolled = page.evaluate(
            """() => {
                const box = (name) => document.querySelector(name).getBoundingClientRect();
                const [mark, number, panel] = ["#code mark", "#code .number", "#code"].map(box);
                return [mark.left, mark.right, number.right, panel.right, byId("code").scrollLeft];
            }"""
        )
        assert scrolled > 0
        assert numbers <= left < right <= end + 1
        assert end - right < 2  # no further than needed


def test_a_mark_wider_than_the_panel_shows_its_start(browser, tmp_path):
    a_name_that_fills_a_narrow_panel_from_its_left_end_to_its_right_end = tg.Tensor([1.0], requires_grad=True)
    loss = (a_name_that_fills_a_narrow_panel_from_its_left_end_to_its_right_end * 2.0).sum()
    player(loss, tmp_path / "out.html")
    with opened(
        browser, tmp_path / "out.html", viewport={"width": 360, "height": 700}, reduced_motion="reduce"
    ) as page:
        left, numbers = page.evaluate(
            "['#code mark', '#code .number'].map(name => document.querySelector(name).getBoundingClientRect())"
            ".map((box, i) => i ? box.right : box.left)"
        )
        assert left == pytest.approx(numbers, abs=1.5)


@pytest.mark.parametrize("width", [360, 1000, 1500])
def test_a_long_name_leaves_room_for_its_values(browser, tmp_path, width):
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="long" * 25)
    player((x * 3.0).sum(), tmp_path / "out.html")
    with opened(browser, tmp_path / "out.html", viewport={"width": width, "height": 800}) as page:
        assert page.evaluate("byId('values').offsetWidth - byId('values').parentElement.clientWidth") <= 0
        row = page.locator("#values tbody tr").nth(1).bounding_box()
        assert row["height"] < 60


@pytest.mark.parametrize("width", [640, 800, 1000, 1500])
def test_the_controls_stand_in_one_row(browser, shown, width):
    with opened(browser, shown[0], viewport={"width": width, "height": 800}) as page:
        tops = page.eval_on_selector_all(".controls > *", "all => all.map(each => each.getBoundingClientRect())")
        middles = [box["top"] + box["height"] / 2 for box in tops]
        assert max(middles) - min(middles) < 5


def test_very_large_and_very_small_numbers_are_short(browser, tmp_path):
    x = tg.Tensor([1e300, -1e-300, -6.6666e-9, 123456789.0, 0.125], requires_grad=True, name="x")
    player((x * 1.0).sum(), tmp_path / "out.html")
    with opened(browser, tmp_path / "out.html") as page:
        cells = page.locator("#tensors figure").first.locator("td[title]")
        assert cells.all_text_contents() == ["1e+300", "-1e-300", "-6.667e-9", "1.235e+8", "0.125"]
