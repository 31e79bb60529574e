"""The report in a real browser (Chromium by its driver), on a phone and a desk, light and dark."""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from arrstack.contents.advisories.assessment import Coverage, Vulnerability, assess
from arrstack.contents.collect import take_inventory
from arrstack.contents.report.comparison import compare
from arrstack.contents.report.compile import compile_of
from arrstack.contents.report.page import Beside, render
from arrstack.launch.record import known, read_rows
from tests.conftest import ROOT
from tests.unit.artifacts.archives import Entries
from tests.unit.contents.images import SITE, image, system, torch
from tests.unit.verify.verify_builders import library

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="chromium and chromium-driver are not installed")
SCREENS = [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every section."""
    folder = tmp_path_factory.mktemp("page")
    gpu = Entries().file(f"{SITE}/torch/lib/libtorch.so", library(*range(70, 100, 5), with_ptx=(90,)))
    found = take_inventory(
        image(folder / "image", [system(), torch(), gpu], made_by=["", "RUN pip install torch", "RUN " + "x" * 300])
    )
    other = take_inventory(image(folder / "other", [system()]))
    wrong = [Vulnerability(f"CVE-2026-{n}", "openssl", "1", "2", "archive", "high", "an overflow") for n in range(40)]
    assessment = assess(wrong, [], [Coverage("archive", 2, "Nothing of what nobody has mended yet.")], 1, [], date(2026, 1, 1))
    rows = known(read_rows(ROOT / "Stack/arr-pytorch-base/records/torch.tsv"), [], archs=0)
    compiled = compile_of("".join(row.line for row in rows), "torch")
    path = folder / "page.html"
    path.write_text(
        render(found, "arr-pytorch-base", Beside(compare(found, other), assessment, compiled, [("base", 3.0)], "unsigned"))
    )
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = Options()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    options.binary_location = BROWSER or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def show(browser: webdriver.Chrome, page: Path, width: int = 1280, mode: str = "light") -> None:
    screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": mode}, {"name": "prefers-reduced-motion", "value": "reduce"}]},
    )
    browser.get(page.as_uri())


def luminance(browser: webdriver.Chrome, selector: str, what: str) -> float:
    """Of a colour of the first element that fits: 0 is black, 1 white (WCAG 2.2, "relative luminance")."""
    text = str(browser.execute_script(f"return getComputedStyle(document.querySelector('{selector}')).{what}"))
    channels = [float(part) / 255 for part in text[text.index("(") + 1 : text.index(")")].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("width", "mode"), SCREENS)
def test_it_fits_the_screen_and_the_browser_has_nothing_to_complain(
    browser: webdriver.Chrome, page: Path, width: int, mode: str
) -> None:
    show(browser, page, width, mode)
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    assert len(browser.find_elements(By.CSS_SELECTOR, "#treemap .cell")) >= 4
    assert len(browser.find_elements(By.CSS_SELECTOR, "#gantt rect")) > 500


@pytest.mark.parametrize(("width", "mode"), SCREENS)
@pytest.mark.parametrize("selector", ["h1", ".note", ".cell", ".tile dt", ".made code"])
def test_text_stands_out_from_what_is_behind_it(
    browser: webdriver.Chrome, page: Path, width: int, mode: str, selector: str
) -> None:
    show(browser, page, width, mode)
    behind = {"h1": "body", ".cell": ".cell"}.get(selector, "section")
    one, other = luminance(browser, selector, "color"), luminance(browser, behind, "backgroundColor")
    assert (luminance(browser, "body", "backgroundColor") < 0.1) == (mode == "dark")
    assert (max(one, other) + 0.05) / (min(one, other) + 0.05) >= 4.5


def test_a_field_of_the_map_says_what_it_is(browser: webdriver.Chrome, page: Path) -> None:
    show(browser, page)
    browser.find_element(By.CSS_SELECTOR, "#treemap .cell").click()
    assert "% of all" in browser.find_element(By.ID, "told").text


def test_the_map_goes_into_a_layer_and_back_and_groups_by_kind(browser: webdriver.Chrome, page: Path) -> None:
    show(browser, page)
    groups = len(browser.find_elements(By.CSS_SELECTOR, "#treemap .group"))
    browser.find_element(By.CSS_SELECTOR, "#treemap .group b").click()
    assert len(browser.find_elements(By.CSS_SELECTOR, "#treemap .group")) == 1
    browser.find_element(By.ID, "out").click()
    assert len(browser.find_elements(By.CSS_SELECTOR, "#treemap .group")) == groups
    browser.find_element(By.CSS_SELECTOR, "[data-group=kind]").click()
    assert "compiled here" in browser.find_element(By.ID, "treemap").text


def test_the_compile_is_drawn_for_the_chosen_number_of_jobs(browser: webdriver.Chrome, page: Path) -> None:
    show(browser, page)
    assert browser.find_element(By.ID, "ran").text.startswith("16 jobs")
    browser.find_element(By.CSS_SELECTOR, "[data-replay='0']").click()
    assert browser.find_element(By.ID, "ran").text.startswith("2 jobs: 26 min")


def test_packages_are_found_and_sorted(browser: webdriver.Chrome, page: Path) -> None:
    show(browser, page)
    browser.find_element(By.ID, "filter").send_keys("torch 2.6")
    assert browser.find_element(By.ID, "count").text == "1 of 3"
    shown = [row.text for row in browser.find_elements(By.CSS_SELECTOR, "#bill tbody tr") if row.is_displayed()]
    assert len(shown) == 1 and shown[0].startswith("torch")
    show(browser, page)
    browser.find_element(By.CSS_SELECTOR, "[data-sort='0']").click()
    names = [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "#bill tbody td:first-child")]
    assert names == sorted(names)


def test_it_loads_nothing_but_itself(browser: webdriver.Chrome, page: Path) -> None:
    show(browser, page)
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
