"""The forms in a real browser, from the first page to the saved file, and that file analysed."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.attfind.studied import key_of, make_run, page_data
from tests.conftest import DEMO, run

pytestmark = pytest.mark.browser
NAMES = ("chromium", "chromium-browser", "google-chrome")
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, f"no browser: none of {', '.join(NAMES)} is on the path; Debian's package is chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A phone's page without a network; what it asks of one, and every error of its script, fails the test."""
    context = browser.new_context(viewport=PHONE, offline=True)
    page, asked, errors = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(error))
    yield page
    context.close()
    assert errors == []
    assert [url[:60] for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, converted: Path) -> Path:
    return make_run(tmp_path_factory.mktemp("browser") / "run", converted, DEMO / "digits.npz")


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory, measured: Path) -> Path:
    """Both forms, as the commands make them: classification/ and verbal/."""
    folder = tmp_path_factory.mktemp("forms")
    assert run("study", "classification", measured, "-o", folder / "classification", "--questions", "8", "--kind", "both").code == 0
    assert run("study", "verbal", measured, "-o", folder / "verbal", "--examples", "3").code == 0
    return folder


def start(page: Page, form: Path, participant: str) -> None:
    page.goto((form / "index.html").as_uri())
    page.get_by_label("Your participant code").fill(participant)
    page.keyboard.press("Enter")


def order(page: Page) -> list[str]:
    """The names of the questions as this participant is asked them."""
    found: list[str] = page.evaluate("study.questions.map((question) => question.id)")
    return found


def save(page: Page, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save my answers").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_classification_by_keyboard_from_form_to_accuracy(page: Page, forms: Path, tmp_path: Path) -> None:
    form = forms / "classification"
    right = {question["id"]: question["answer"] for question in key_of(form)["questions"]}
    files, orders = [], []
    for participant, wrong in (("p-01", {2}), ("p-02", {0, 5, 7})):
        start(page, form, participant)
        orders.append(order(page))
        for number, name in enumerate(orders[-1]):
            expect(page.get_by_role("heading", name=f"Question {number + 1} of 8")).to_be_visible()
            page.keyboard.press({"A": "b", "B": "a"}[right[name]] if number in wrong else right[name].lower())
            page.keyboard.press("Enter")
        files.append(save(page, tmp_path))
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(right)
    assert orders[0] != orders[1]
    assert [file.name for file in files] == [f"classification-{key_of(form)['study']}-{p}.csv" for p in ("p-01", "p-02")]
    found = json.loads(run("study", "analyse", *files, "--key", form / "key.json", "--json").out)["classification"]
    assert [(p["name"], p["right"], p["total"]) for p in found["participants"]] == [("p-01", 7, 8), ("p-02", 5, 8)]
    assert found["accuracy_mean"] == pytest.approx(0.75)
    assert found["accuracy_sd_sample"] == pytest.approx(0.176777, abs=1e-6)


def test_verbal_answers_go_through_the_file_with_commas_quotes_and_accents(page: Page, forms: Path, tmp_path: Path) -> None:
    form = forms / "verbal"
    said = ['thick, "dark" lines', "Ärmel", "thicker  line ", "nothing"]
    start(page, form, "p-03")
    for answer in said:
        page.get_by_label("In one to four words").fill(answer)
        page.get_by_role("button", name="Next" if answer != said[-1] else "Finish").click()
    file = save(page, tmp_path)
    with file.open(encoding="utf-8", newline="") as rows:
        assert [row["answer"] for row in csv.DictReader(rows)] == ['thick, "dark" lines', "Ärmel", "thicker line", "nothing"]
    found = json.loads(run("study", "analyse", file, "--key", form / "key.json", "--json").out)["verbal"]
    first = next(d for d in found if "dark" in [word["word"] for word in d["words"]])
    assert [word["word"] for word in first["words"]] == ["dark", "line", "thick"]


def test_five_words_or_none_are_not_taken(page: Page, forms: Path) -> None:
    start(page, forms / "verbal", "p-04")
    for answer in ("", "   ", "one two three four five"):
        page.get_by_label("In one to four words").fill(answer)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Question 1 of 4")).to_be_visible()
    page.get_by_label("In one to four words").fill("one two three four")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Question 2 of 4")).to_be_visible()


def test_no_question_is_left_without_a_choice_and_back_keeps_what_was_chosen(page: Page, forms: Path, tmp_path: Path) -> None:
    start(page, forms / "classification", "p-05")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", name="Question 1 of 8")).to_be_visible()
    page.get_by_text("group B", exact=True).click()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("radio", name="group A")).not_to_be_checked()
    expect(page.get_by_role("radio", name="group B")).not_to_be_checked()
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_role("radio", name="group B")).to_be_checked()
    page.get_by_text("group A", exact=True).click()
    for _ in range(8):
        page.keyboard.press("a")
        page.keyboard.press("Enter")
    with save(page, tmp_path).open(encoding="utf-8", newline="") as rows:
        found = list(csv.DictReader(rows))
    assert [row["answer"] for row in found] == ["A"] * 8
    assert all(0 <= float(row["shown_s"]) <= float(row["answered_s"]) < 60 for row in found)


def test_pictures_flicker_between_two_states_until_they_are_paused(page: Page, forms: Path) -> None:
    start(page, forms / "classification", "p-06")
    upper = page.locator(".flip div + div").first
    opacity = "element => getComputedStyle(element).opacity"
    seen = set()
    for _ in range(12):
        seen.add(upper.evaluate(opacity))
        page.wait_for_timeout(200)
    assert seen == {"0", "1"}
    page.get_by_role("button", name="Pause").click()
    still = set()
    for _ in range(12):
        still.add(upper.evaluate(opacity))
        page.wait_for_timeout(200)
    assert len(still) == 1


def test_each_place_shows_its_own_pictures_original_first(page: Page, forms: Path) -> None:
    form = forms / "classification"
    data = page_data(form)
    start(page, form, "p-08")
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Question 2 of 8")).to_be_visible()
    second = next(question for question in data["questions"] if question["id"] == order(page)[1])
    for place, pairs in second["places"].items():
        shown = page.locator(f"[data-place={place}] img").evaluate_all("images => images.map((image) => image.src)")
        assert shown == [data["pictures"][number] for pair in pairs for number in pair]


def test_a_participant_who_begins_again_is_asked_in_the_same_order(page: Page, forms: Path) -> None:
    seen = []
    for participant in ("p-09", "p-10", "p-09"):
        start(page, forms / "classification", participant)
        seen.append(order(page))
    assert seen[0] == seen[2] != seen[1]


@pytest.mark.parametrize("kind", ["classification", "verbal"])
def test_a_phone_shows_the_form_without_sideways_scrolling_and_every_picture(page: Page, forms: Path, kind: str) -> None:
    start(page, forms / kind, "p-07")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    sizes = page.locator(".flip img").evaluate_all("images => images.map((image) => [image.naturalWidth, image.clientWidth])")
    assert len(sizes) == (10 if kind == "classification" else 6)
    assert all(natural == 32 and shown >= 100 for natural, shown in sizes)
