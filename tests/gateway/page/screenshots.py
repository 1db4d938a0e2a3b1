"""`python -m tests.gateway.page.screenshots URL`: the pictures of docs/images, from a running gateway."""

import sys

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.gateway.page.browser import LAPTOP, PHONE, chromium
from tests.gateway.running import ROOT
from tests.waiting import until

FOLDER = ROOT / "docs" / "images"
PICTURES = (("page-laptop.png", LAPTOP, False, "both"), ("page-phone-dark.png", PHONE, True, "sentiment"))


def take(browser: Chrome, url: str, name: str, size: tuple[int, int], model: str) -> None:
    """One picture of the whole page with an answer on it."""
    browser.get(url)
    until(lambda: "ready" in (browser.find_element(By.ID, "status").get_attribute("class") or ""))
    browser.find_element(By.CSS_SELECTOR, f"input[value={model}] + span").click()
    browser.find_element(By.CSS_SELECTOR, '[data-example="2"]').click()
    until(lambda: browser.find_element(By.ID, "why").is_displayed())
    until(lambda: browser.find_element(By.ID, "go").get_attribute("aria-busy") == "false")
    height = browser.execute_script("document.activeElement.blur(); return document.body.scrollHeight")
    metrics = {"width": size[0], "height": height, "deviceScaleFactor": 1, "mobile": size is PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.save_screenshot(str(FOLDER / name))


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for picture, screen, dark, chosen in PICTURES:
        with chromium(screen, dark) as running:
            take(running, sys.argv[1], picture, screen, chosen)
