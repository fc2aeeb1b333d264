"""A headless Chromium, where there is one."""

from __future__ import annotations

import shutil

import pytest


class Browser:
    """A headless Chromium; `driver` is selenium's, `downloads` the folder that files go to."""

    def __init__(self, driver, downloads):
        self.driver, self.downloads = driver, downloads

    def viewport(self, width, height=900):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, value):
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": value}]})

    def console(self):
        return self.driver.get_log("browser")

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def downloaded(self, name):
        from selenium.webdriver.support.ui import WebDriverWait

        path = self.downloads / name
        WebDriverWait(path, 10, poll_frequency=0.05).until(lambda one: one.exists() and not list(one.parent.glob("*.crdownload")))
        return path


@pytest.fixture(scope="session")
def chromium():
    pytest.importorskip("selenium", reason="selenium is not installed")
    browser, driver_path = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
    if browser is None or driver_path is None:
        pytest.skip("no chromium and chromedriver on PATH (Debian packages chromium and chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_path))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium, tmp_path):
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    chromium.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
    chromium.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": "file://", "storageTypes": "all"})
    chromium.get("about:blank")
    chromium.get_log("browser")
    found = Browser(chromium, downloads)
    found.viewport(1400)
    found.scheme("")
    return found
