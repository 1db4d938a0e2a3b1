"""A real Chromium, without a window, and what tests do with the page in it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.gateway.running import Gateway
from tests.waiting import until

LAPTOP, PHONE = (1280, 900), (390, 844)


@contextmanager
def chromium(size: tuple[int, int] = LAPTOP, dark: bool = False, downloads: str = "") -> Iterator[Chrome]:
    """Debian's browser and driver; the test skips where they are missing, except in CI."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        if os.environ.get("CI") == "true":
            pytest.fail("CI has no chromium and chromedriver: .ci/run installs them")
        pytest.skip("no browser: apt install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if dark:
        options.add_argument("--force-dark-mode")
        options.add_argument("--blink-settings=preferredColorScheme=0")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if downloads:
        options.add_experimental_option("prefs", {"download.default_directory": downloads})
    browser = Chrome(options=options, service=Service(driver))
    try:
        browser.set_script_timeout(120)  # axe takes its time on a busy machine
        browser.set_page_load_timeout(60)
        width, height = size
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]},
        )
        yield browser
    finally:
        browser.quit()


def opened(browser: Chrome, gateway: Gateway) -> Chrome:
    """The page, once it knows how the service is."""
    browser.get(gateway.url)
    until(lambda: any(state in status(browser) for state in ("Ready", "Not available")))
    return browser


def status(browser: Chrome) -> str:
    """What the page says of the service."""
    return browser.find_element(By.ID, "status").text


def text_of(browser: Chrome, name: str) -> str:
    """Of the element with this id; empty where it is not shown."""
    found = browser.find_element(By.ID, name)
    return found.text if found.is_displayed() else ""


def ask(browser: Chrome, text: str) -> None:
    """Type the text and wait for its answer and its words."""
    field = browser.find_element(By.ID, "text")
    field.clear()
    field.send_keys(text)
    field.send_keys(Keys.CONTROL, Keys.ENTER)
    until(lambda: browser.find_element(By.ID, "go").get_attribute("aria-busy") == "false")


def problems_of(browser: Chrome) -> list[str]:
    """Lines of the browser's console that the page caused by itself (answers of 4xx and 5xx are not)."""
    return [line["message"] for line in browser.get_log("browser") if "status of" not in line["message"]]
