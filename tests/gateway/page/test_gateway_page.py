"""The page in a real Chromium, on a real gateway: type, read, look closer, copy, and states of trouble."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from serving.checks import free_ports
from serving.launcher import TritonServer
from tests.gateway.page.browser import LAPTOP, PHONE, ask, chromium, opened, problems_of, status, text_of
from tests.gateway.running import ROOT, Gateway, gateway_process
from tests.waiting import until

AXE = ROOT / ".cache" / "axe" / "axe.min.js"
REVIEW = " ".join(f"This is sentence {n}, and it has a few words more than that." for n in range(9))


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Chrome, gateway: Gateway) -> Chrome:
    return opened(browser, gateway)


def test_a_typed_text_gets_the_services_answer(page: Chrome, gateway: Gateway) -> None:
    ask(page, "A warm, funny film.")
    [expected] = gateway.client.post("/v1/classify", json="A warm, funny film.").json()
    results = text_of(page, "results")
    assert expected["label"] in results
    assert f"{expected['num_tokens']} tokens" in results
    assert "Read whole" in results
    assert "ms round trip" in results
    shown = [
        float(meter.get_attribute("aria-valuenow")) for meter in page.find_elements(By.CLASS_NAME, "meter")
    ]
    assert sorted(shown) == pytest.approx(sorted(expected["probabilities"].values()), abs=1e-3)
    assert page.find_element(By.ID, "highlight").text == "A warm, funny film."
    assert not problems_of(page)


def test_words_are_coloured_by_their_weight(page: Chrome, gateway: Gateway) -> None:
    ask(page, "A warm, funny film.")
    found = gateway.client.post("/v1/explain", json={"text": "A warm, funny film."}).json()
    units = page.find_elements(By.CSS_SELECTOR, "#highlight .unit")
    assert [unit.text for unit in units] == [each["text"] for each in found["units"]]
    strongest = max(range(len(units)), key=lambda place: abs(found["units"][place]["weight"]))
    sign = "f" if found["units"][strongest]["weight"] > 0 else "a"
    assert f"{sign}4" in units[strongest].get_attribute("class").split()


def test_a_sentence_opens_into_its_words_by_keyboard_and_closes_again(page: Chrome) -> None:
    ask(page, REVIEW)
    sentences = page.find_elements(By.CSS_SELECTOR, "#highlight [role=button]")
    assert len(sentences) == 9
    sentences[4].send_keys(Keys.ENTER)
    until(lambda: text_of(page, "highlight").startswith("This is sentence 4"))
    page.find_element(By.ID, "zoomout").click()
    until(lambda: len(page.find_elements(By.CSS_SELECTOR, "#highlight [role=button]")) == 9)


def test_text_is_never_read_as_html(page: Chrome) -> None:
    text = "<img src=x onerror=alert(1)> & <b>bold</b>"
    ask(page, text)
    assert text_of(page, "highlight") == text
    assert not page.find_elements(By.CSS_SELECTOR, "#answer img")
    assert "<img" in text_of(page, "snippet")


def test_the_copied_python_runs_and_gives_the_same_label(page: Chrome) -> None:
    ask(page, 'It\'s "fine", I suppose.\nOr not?')
    label = page.find_element(By.CSS_SELECTOR, ".verdict strong").text
    page.find_element(By.ID, "tab-curl").send_keys(Keys.ARROW_RIGHT)
    program = text_of(page, "snippet")
    printed: list[Any] = []
    exec(program, {"print": printed.append})
    assert printed == [label]


def test_the_copied_curl_line_runs(page: Chrome) -> None:
    import subprocess

    ask(page, "It's fine")
    page.find_element(By.ID, "tab-curl").click()
    command = text_of(page, "snippet")
    run = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(run.stdout)[0]["label"] in text_of(page, "results")


def test_an_empty_text_asks_for_one(page: Chrome) -> None:
    page.find_element(By.ID, "text").clear()
    page.find_element(By.ID, "go").click()
    assert text_of(page, "message") == "Type or paste a text first."


def test_models_that_are_not_served_cannot_be_chosen(page: Chrome) -> None:
    until(lambda: not page.find_element(By.CSS_SELECTOR, "[value=sentiment_fast]").is_enabled())
    assert page.find_element(By.CSS_SELECTOR, "[value=sentiment]").is_enabled()


def test_everything_is_reached_by_the_tab_key(page: Chrome) -> None:
    ask(page, "A warm, funny film.")
    page.find_element(By.TAG_NAME, "body").click()
    seen = set()
    for _ in range(40):
        ActionChains(page).send_keys(Keys.TAB).perform()
        seen.add(page.switch_to.active_element.get_attribute("id"))
    assert {"theme", "text", "go", "highlight", "tab-curl", "copy", "snippet", "file"} <= seen


def test_a_text_over_the_limit_is_told(browser: Chrome, server: TritonServer) -> None:
    with gateway_process(server.grpc_url, MAX_BODY="2K") as small:
        opened(browser, small)
        browser.execute_script("document.getElementById('text').value = 'long '.repeat(1000)")
        browser.find_element(By.ID, "go").click()
        until(lambda: "larger than" in text_of(browser, "message"))


def test_a_busy_service_says_when_to_come_back(browser: Chrome, server: TritonServer) -> None:
    with gateway_process(server.grpc_url, RATE_LIMIT="1") as slow:
        opened(browser, slow)
        ask(browser, "one")
        ask(browser, "two")
        assert "Try again in" in text_of(browser, "message")
        assert "Busy" in status(browser)


def test_a_full_service_says_when_to_come_back(browser: Chrome, server: TritonServer) -> None:
    with gateway_process(server.grpc_url, MAX_IN_FLIGHT="1", REQUEST_TIMEOUT="180") as full:
        opened(browser, full)
        with ThreadPoolExecutor(1) as other:
            # Seconds of work, which take the only place.
            work = other.submit(full.client.post, "/v1/classify", json=["word " * 400] * 700, timeout=180)
            until(lambda: "gateway_backlog_texts 700.0" in full.client.get("/metrics").text)
            ask(browser, "A warm film.")
            assert not work.done()
            assert "Busy" in status(browser)
            assert "Try again in" in text_of(browser, "message")
            assert work.result().status_code == 200
        ask(browser, "A warm film.")
        assert "tokens" in text_of(browser, "results")


def test_a_server_that_is_down_is_told_and_watched(browser: Chrome) -> None:
    [nobody] = free_ports("127.0.0.1", 1)
    with gateway_process(f"127.0.0.1:{nobody}") as alone:
        opened(browser, alone)
        assert "Not available" in status(browser)
        assert "looks again by itself" in text_of(browser, "message")


def test_a_service_with_keys_asks_for_one(browser: Chrome, server: TritonServer, tmp_path: Path) -> None:
    from tests.gateway.running import run_gateway

    key = run_gateway("add-key", "me", "--file", str(tmp_path / "keys")).stdout.strip()
    with gateway_process(server.grpc_url, API_KEYS_FILE=str(tmp_path / "keys")) as guarded:
        opened(browser, guarded)
        until(lambda: browser.find_element(By.ID, "key").is_displayed())
        browser.find_element(By.ID, "key").send_keys(key, Keys.TAB)
        ask(browser, "A warm film.")
        assert "tokens" in text_of(browser, "results")


@pytest.mark.parametrize(
    ("size", "dark"), [(LAPTOP, False), (PHONE, True)], ids=["laptop", "phone in the dark"]
)
def test_axe_finds_no_serious_violation(gateway: Gateway, size: tuple[int, int], dark: bool) -> None:
    if not AXE.is_file():
        if os.environ.get("CI") == "true":
            pytest.fail("CI has no axe-core: .ci/run fetches it")
        pytest.skip("no axe-core: mkdir -p .cache/axe; npm pack axe-core, and put its axe.min.js there")
    with chromium(size, dark) as browser:
        opened(browser, gateway)
        assert audit(browser) == []
        ask(browser, REVIEW)
        browser.find_element(By.TAG_NAME, "summary").click()
        assert audit(browser) == []
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"), (
            "the page scrolls sideways"
        )


def audit(browser: Chrome) -> list[str]:
    """Violations that axe-core calls serious or critical: rule and element."""
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    return [
        f"{each['id']}: {each['nodes'][0]['html']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
