"""The page in a real Chromium: files from the drop to the download, both models compared, no other host."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from export.checkpoint.reading import load_checkpoint
from export.precision.fp32 import build_fp32
from export.precision.int8 import build_int8
from export.publishing.publish import publish
from serving.launcher import TritonServer
from tests.gateway.page.browser import ask, chromium, opened, problems_of, text_of
from tests.gateway.running import Gateway, gateway_process
from tests.gateway.tasks.workers import finished, worker_process
from tests.waiting import until

ROWS = 300
# Selenium cannot drag a file from a desktop; the page gets the event that a browser would send.
DROP = """
const transfer = new DataTransfer();
transfer.items.add(new File([arguments[1]], arguments[0]));
const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
document.getElementById("drop").dispatchEvent(event);
"""


@pytest.fixture(scope="module")
def both(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server of `sentiment` and `sentiment_fast`."""
    checkpoint = load_checkpoint(tiny_checkpoint)
    repository = tmp_path_factory.mktemp("both") / "models"
    repository.mkdir()
    models = {"mobilebert_fp32": build_fp32(checkpoint), "mobilebert_int8": build_int8(checkpoint)}
    publish(checkpoint, repository, models)
    with TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0) as live:
        yield live


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def gateway(both: TritonServer, folder: Path) -> Iterator[Gateway]:
    settings = {"GATEWAY_DATA": str(folder), "TASK_CHUNK": "16"}
    with gateway_process(both.grpc_url, **settings) as running, worker_process(both.grpc_url, folder):
        yield running


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Chrome]:
    with chromium(downloads=str(folder)) as running:
        yield running


@pytest.fixture
def page(browser: Chrome, gateway: Gateway) -> Chrome:
    """Without the tasks of another test."""
    opened(browser, gateway)
    browser.execute_script("localStorage.clear()")
    return opened(browser, gateway)


def table(rows: int) -> str:
    return "id,review\n" + "".join(f'{number},"Film {number}, a good one"\n' for number in range(rows))


def state(page: Chrome) -> str:
    return " ".join(each.text for each in page.find_elements(By.CSS_SELECTOR, "#tasks .state"))


def press(page: Chrome, words: str) -> None:
    [button] = [each for each in page.find_elements(By.CSS_SELECTOR, "#tasks button") if each.text == words]
    button.click()


def test_a_chosen_file_is_scored_and_comes_back_as_csv(page: Chrome, gateway: Gateway, folder: Path) -> None:
    (folder / "films.csv").write_text(table(ROWS))
    page.find_element(By.ID, "file").send_keys(str(folder / "films.csv"))
    until(lambda: state(page) == f"Done: {ROWS} texts")
    press(page, "Download CSV")
    scored = folder / "films.scored.csv"
    until(scored.exists)
    with scored.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["text"] for row in rows] == [f"Film {number}, a good one" for number in range(ROWS)]
    [direct] = gateway.client.post("/v1/classify", json=rows[7]["text"]).json()
    assert rows[7]["label"] == direct["label"]
    assert float(rows[7]["score"]) == pytest.approx(direct["score"], abs=1e-4)
    press(page, "Remove")
    assert not page.find_elements(By.CSS_SELECTOR, "#tasks li")
    assert not problems_of(page)


def test_a_dropped_file_shows_progress_and_is_still_there_after_a_reload(
    page: Chrome, gateway: Gateway
) -> None:
    page.execute_script(DROP, "many.csv", table(40_000))
    bar = (By.CSS_SELECTOR, "#tasks progress")
    until(lambda: page.find_elements(*bar) and float(page.find_element(*bar).get_attribute("value")) > 0)
    assert "of 40,000 texts" in state(page)
    page.refresh()
    until(lambda: page.find_elements(By.CSS_SELECTOR, "#tasks li") and "of 40,000" in state(page))
    press(page, "Cancel")
    until(lambda: state(page).startswith("Cancelled after"))
    newest = gateway.client.get("/v1/tasks").json()["tasks"][0]
    assert finished(gateway.client, newest)["state"] == "cancelled"
    press(page, "Remove")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("photo.png", "x", "this kind of file is not read"),
        ("empty.csv", "", "is empty"),
        ("none.csv", "id,number\n1,2\n3,4\n", "column"),
    ],
)
def test_a_file_that_cannot_be_scored_is_told_beside_it(
    page: Chrome, name: str, content: str, told: str
) -> None:
    page.execute_script(DROP, name, content)
    until(lambda: told in text_of(page, "drop-message"))
    assert name in text_of(page, "drop-message")
    assert not page.find_elements(By.CSS_SELECTOR, "#tasks li")


def test_both_models_are_compared(page: Chrome, gateway: Gateway) -> None:
    page.find_element(By.CSS_SELECTOR, "[value=both]").find_element(By.XPATH, "..").click()
    text = "A warm, funny film."
    ask(page, text)
    answers = [
        gateway.client.post("/v1/classify", json={"text": text, "model": name}).json()[0]
        for name in ("sentiment", "sentiment_fast")
    ]
    verdicts = [each.text for each in page.find_elements(By.CSS_SELECTOR, "#results .verdict strong")]
    assert verdicts == [each["label"] for each in answers]
    first, second = (each["probabilities"] for each in answers)
    difference = max(abs(first[label] - second[label]) for label in first)
    note = page.find_element(By.CSS_SELECTOR, ".note").text
    assert float(note.split("differ by ")[1].split()[0]) == pytest.approx(100 * difference, abs=0.011)
    assert note.startswith("Both give the same label" if verdicts[0] == verdicts[1] else "They disagree")


def test_no_page_asks_another_host(browser: Chrome, gateway: Gateway) -> None:
    """So all of it works without the internet."""
    hosts = set()
    for path, element in (("/", "#go"), ("/docs", ".opblock"), ("/problems", "dt")):
        browser.get(gateway.url + path)
        until(lambda element=element: browser.find_elements(By.CSS_SELECTOR, element))
        asked = "return performance.getEntriesByType('resource').map(each => each.name)"
        hosts |= {httpx.URL(each).netloc for each in browser.execute_script(asked)}
        assert not problems_of(browser)
    assert hosts == {httpx.URL(gateway.url).netloc}


def test_the_api_page_shows_every_operation(browser: Chrome, gateway: Gateway) -> None:
    browser.get(f"{gateway.url}/docs")
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".opblock"))
    shown = {each.text for each in browser.find_elements(By.CSS_SELECTOR, ".opblock-summary-path")}
    described = json.loads(gateway.client.get("/openapi.json").text)["paths"]
    assert {each.replace("\u200b", "") for each in shown} == set(described)
