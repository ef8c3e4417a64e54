"""Models in the page, in a browser: nothing before Start, PyTorch's numbers after it, for every reader.

The pages are opened from a folder, where a browser allows least.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page, Response, expect

from course_lib import scoreboard
from course_lib.data.translation import END, START
from course_lib.live import rounded
from course_lib.models.decoding import next_probabilities
from course_lib.models.language import TransformerLM
from course_lib.models.seq2seq import shift_right
from tests.browser import launch_browser, serve, watch
from tools.book import ROOT

pytestmark = pytest.mark.slow

TRANSLATION, LANGUAGE = "book/live/index", "book/06-language-models/chapter"
PAGES = {"translation": TRANSLATION, "language": LANGUAGE}
ROWS = {"fixed": "fixed", "bahdanau": "bahdanau", "luong": "luong_general", "transformer": "transformer"}
LIMITS = {"translation": 3_500_000, "language": 500_000}  # bytes that a press on Start loads
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
CLOSE = 1e-4


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as launched:
        yield launched


def open_demo(browser: Browser, book: Path | str, demo: str, **context: Any) -> Page:
    """The page of a demo, not started; from a folder, or from a server's address."""
    page = browser.new_context(**context).new_page()
    base = book if isinstance(book, str) else book.as_uri()
    page.goto(f"{base}/{PAGES[demo]}.html")
    return page


def start(page: Page, demo: str) -> None:
    section = page.locator(f".live[data-demo={demo}]")
    section.get_by_role("button", name="Start").click()
    expect(section).to_have_class("live is-running", timeout=30_000)


@pytest.fixture(scope="module")
def translation(browser: Browser, built_book: Path) -> Iterator[Page]:
    page = open_demo(browser, built_book, "translation")
    start(page, "translation")
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def language(browser: Browser, built_book: Path) -> Iterator[Page]:
    page = open_demo(browser, built_book, "language")
    start(page, "language")
    yield page
    page.context.close()


@pytest.mark.parametrize("demo", PAGES)
def test_nothing_is_loaded_before_start_and_little_after_it(browser: Browser, built_book: Path, demo: str) -> None:
    with serve(built_book) as address:
        page = browser.new_context().new_page()
        traffic = watch(page)
        loaded: list[tuple[str, int]] = []

        def note(response: Response) -> None:
            if "/_figures/" not in response.url:  # they come when the reader comes near, started or not
                loaded.append((response.url, len(response.body())))

        page.on("response", note)
        page.goto(f"{address}/{PAGES[demo]}.html", wait_until="networkidle")
        section = page.locator(f".live[data-demo={demo}]")
        expect(section.locator("svg")).to_be_visible()
        before = len(loaded)
        assert not [url for url, _ in loaded if "/live/" in url.removeprefix(f"{address}/book/live/")]
        start(page, demo)
        assert traffic.faults() == []
        page.context.close()
    assert {url.split("/")[3] for url, _ in loaded[before:]} == {"live"}
    assert sum(size for _, size in loaded[before:]) < LIMITS[demo]


@pytest.mark.parametrize("kind", ROWS)
def test_translations_logits_and_weights_are_those_of_pytorch(translation: Page, kind: str) -> None:
    model, data = scoreboard.trained(ROWS[kind])
    model.load_state_dict(rounded(model.state_dict()))
    pairs = data.test[:: len(data.test) // 10][:10]  # of every length, from 4 words to 40
    for pair in pairs:
        source = torch.tensor([data.source_vocabulary.encode(pair.source)])
        found = translation.evaluate(
            "([name, ids]) => { const {ids: written, steps} = courseNN.translate(courseLive.models[name], ids);"
            " return {written, steps: steps.map(({logits, weights}) =>"
            " [Array.from(logits.data), weights ? Array.from(weights.data) : []])}; }",
            [f"translation-{kind}", source[0].tolist()],
        )
        expected = model.translate(source)
        written = expected[0].tolist()
        assert found["written"] == [token for token in written if token != END]
        logits = np.array([step[0] for step in found["steps"]])
        with torch.no_grad():
            if kind == "fixed":
                right, weights = model(source, shift_right(expected)), None
            else:
                right, weights = model.attend(source, shift_right(expected))
        assert np.abs(logits - right[0].numpy()).max() < CLOSE
        if weights is not None:
            rows = weights[0].reshape(-1, len(written), len(pair.source)).transpose(0, 1)  # (steps, tables, source)
            seen = np.array([step[1] for step in found["steps"]]).reshape(rows.shape)
            assert np.abs(seen - rows.numpy()).max() < CLOSE


def test_the_models_of_the_page_begin_with_the_word_that_the_library_begins_with(translation: Page) -> None:
    words = translation.evaluate("courseLive.models.translation.about.source.slice(0, 4)")
    assert words.index("<start>") == START and words.index("<end>") == END and words[3] == "<unk>"


def test_a_sentence_is_typed_translated_and_its_words_pointed_at_by_keyboard(
    browser: Browser, built_book: Path
) -> None:
    page = open_demo(browser, built_book, "translation")
    button = page.get_by_role("button", name="Start")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".translate-card")).to_have_count(4)
    assert page.evaluate("document.activeElement.className") == "live-stage"
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("The dragon sees my cat.")
    page.keyboard.press("Enter")
    expect(page.locator(".live-note").first).to_contain_text("Not among the words that the models know: dragon.")
    card = page.get_by_role("region", name="Luong, general")
    expect(card.locator("[lang=en] span")).to_have_text(["the", "<unk>", "sees", "my", "cat"])
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('[aria-label=\"Luong, general\"]') !== null"):
            break
    shades = (
        "[...document.querySelectorAll('[aria-label=\"Luong, general\"] [lang=en] span')].map(s => Number(s.title))"
    )
    first = page.evaluate(shades)
    page.keyboard.press("Tab")
    second = page.evaluate(shades)
    assert sum(first) == pytest.approx(1, abs=0.03) and sum(second) == pytest.approx(1, abs=0.03)
    assert first != second
    expect(page.get_by_role("status").last).to_contain_text("4 translations")
    page.context.close()


def test_an_example_says_which_translation_is_right(translation: Page) -> None:
    translation.get_by_role("combobox", name="Examples").select_option("40 words")
    cards = translation.locator(".translate-card")
    expect(cards.first).to_contain_text("not the right one")
    expected = translation.evaluate("courseLive.models.translation.about.examples.at(-1).target")
    for card in cards.all():
        verdict = card.locator(".translate-name").inner_text()
        written = card.locator("[lang=it]").inner_text().replace("<end>", "").replace("'", "' ")
        assert (written.split() == expected.split()) == verdict.endswith(", right")


def test_no_words_and_too_many_words_are_said_plainly(translation: Page) -> None:
    sentence = translation.get_by_role("textbox", name="English")
    for text, answer in (
        ("  ", "Write an English sentence first."),
        ("cat " * 61, "That is 61 words: write 60 or fewer."),
    ):
        sentence.fill(text)
        sentence.press("Enter")
        expect(translation.locator(".live-status")).to_have_text(answer)
        expect(translation.locator(".translate-card")).to_have_count(0)


def language_model(page: Page) -> tuple[TransformerLM, dict[str, Any]]:
    """The model that the page has, built anew by PyTorch."""
    about, weights = page.evaluate(
        "(({about, weights}) => [about, Object.entries(weights).map(([k, w]) => [k, w.shape, Array.from(w.data)])])"
        "(courseLive.models.language)"
    )
    tensors = {name: torch.tensor(numbers).reshape(shape) for name, shape, numbers in weights}
    vocab_size, d_model = tensors["token_embedding.weight"].shape
    model = TransformerLM(
        vocab_size=vocab_size,
        d_model=d_model,
        num_heads=about["num_heads"],
        num_layers=about["num_layers"],
        dim_feedforward=tensors["blocks.0.feed_forward.linear1.weight"].shape[0],
        max_length=about["max_length"],
    )
    model.load_state_dict(tensors)
    assert all(
        torch.equal(tensor, same) for tensor, same in zip(tensors.values(), rounded(tensors).values(), strict=True)
    )
    return model.eval(), about


def test_the_next_character_has_pytorch_s_distribution_whatever_the_knobs(language: Page) -> None:
    model, about = language_model(language)
    draw = torch.Generator().manual_seed(0)
    cases = [(1.0, None, None), (0.5, None, None), (2.0, 5, None), (1.0, None, 0.9), (0.7, 12, 0.5), (1.3, 1, 1.0)]
    for length, (temperature, top_k, top_p) in zip((1, 2, 11, 40, 64, 100), cases, strict=True):
        ids = torch.randint(len(about["characters"]), (length,), generator=draw)
        logits, probabilities = language.evaluate(
            "([ids, settings]) => { const logits = courseNN.nextLogits(courseLive.models.language, ids);"
            " return [Array.from(logits), Array.from(courseNN.nextProbabilities(logits, settings))]; }",
            [
                ids.tolist(),
                {"temperature": temperature, "topK": top_k or len(about["characters"]), "topP": top_p or 1},
            ],
        )
        with torch.no_grad():
            right = model(ids[None, -about["max_length"] :])[0, -1]
        assert np.abs(np.array(logits) - right.numpy()).max() < CLOSE
        expected = next_probabilities(right, temperature=temperature, top_k=top_k, top_p=top_p)
        assert np.abs(np.array(probabilities) - expected.numpy()).max() < CLOSE


def test_draws_follow_the_probabilities(language: Page) -> None:
    counts = language.evaluate(
        "() => { const chance = courseNN.generator(1), counts = [0, 0, 0, 0];"
        " for (let i = 0; i < 20000; i++) counts[courseNN.draw([0.5, 0, 0.3, 0.2], chance)]++; return counts; }"
    )
    assert np.abs(np.array(counts) / 20000 - [0.5, 0, 0.3, 0.2]).max() < 0.015
    assert counts[1] == 0


def test_a_seed_writes_the_same_text_again_and_the_knobs_change_it(language: Page) -> None:
    section = language.locator(".live[data-demo=language]")
    prompt, text, status = (section.locator(part) for part in ("input[type=text]", ".write-text", ".live-status"))
    prompt.fill("A model é")
    expect(status).to_have_text("The model knows no é: left out.")

    def write(seed: int) -> str:
        section.get_by_role("spinbutton", name="Seed").fill(str(seed))
        expect(text).to_have_text("A model ")
        section.get_by_role("button", name="Write 100 more").click()
        expect(status).to_have_text("100 characters written.", timeout=30_000)
        return text.text_content() or ""

    first, other, again = write(1), write(2), write(1)
    assert first == again != other
    assert len(first) == len("A model ") + 100
    section.get_by_role("slider", name="Top-k").fill("1")
    assert write(1) == write(2)
    expect(section.locator(".live-bars li.is-out")).to_have_count(11)


def test_a_character_of_one_s_own_is_appended(language: Page) -> None:
    section = language.locator(".live[data-demo=language]")
    text = section.locator(".write-text")
    section.locator("input[type=text]").fill("A model")
    expect(text).to_have_text("A model")
    button = section.locator(".live-bars button").last
    shown = button.inner_text()
    button.click()
    assert text.text_content() == "A model" + {"␣": " ", "↵": "\n"}.get(shown, shown)


def test_a_file_that_is_missing_is_named_and_can_be_tried_again(browser: Browser, built_book: Path) -> None:
    with serve(built_book) as address:  # requests for files of a folder cannot be caught
        page = open_demo(browser, address, "language")
        page.route("**/weights/language.js", lambda route: route.abort())
        page.get_by_role("button", name="Start").click()
        expect(page.locator(".live-status")).to_contain_text(
            "This model could not be started: ../../live/weights/language.js could not be loaded."
        )
        expect(page.locator(".live-still svg")).to_be_visible()
        page.unroute("**/weights/language.js")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".write-text")).to_contain_text("The network")
        page.context.close()


def test_without_scripts_and_in_print_the_picture_stands_there(
    browser: Browser, built_book: Path, language: Page
) -> None:
    page = open_demo(browser, built_book, "language", java_script_enabled=False)
    expect(page.locator(".live-still svg")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_have_count(0)
    page.context.close()
    language.emulate_media(media="print")
    expect(language.locator(".live-still svg")).to_be_visible()
    expect(language.locator(".live-stage")).to_be_hidden()
    language.emulate_media(media="screen")


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("demo", PAGES)
def test_a_started_model_passes_the_accessibility_checker_and_fits_a_narrow_page(
    browser: Browser, built_book: Path, demo: str, mode: str
) -> None:
    page = open_demo(browser, built_book, demo, color_scheme=mode, viewport={"width": 360, "height": 800})
    start(page, demo)
    for summary in page.locator(".live-stage summary").all():
        summary.click()
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run(document.querySelector('.live'), {resultTypes: ['violations']})")
    assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.context.close()
