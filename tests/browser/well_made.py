"""What every page in the browser has to be: reached by everybody, on every screen."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

#: Controls that are smaller than 36 pixels either way; links inside sentences may be.
SMALL = """() => [...document.querySelectorAll(
    "button, .button, .icon-button, select, summary, nav a, footer > a, input:not([type=hidden])"
  )].filter((control) => {
    const { width, height } = control.getBoundingClientRect();
    const reach = control.closest(".check")?.getBoundingClientRect() ?? { width, height };
    return width && !control.closest("[inert]") && Math.min(reach.width, reach.height) < 36;
  }).map((control) => control.outerHTML)"""


#: Waits until nothing fades or moves any more, but for what turns as long as something goes on.
STILL = """() => Promise.allSettled(
  document.getAnimations()
    .filter((each) => each.effect.getComputedTiming().endTime !== Infinity)
    .map((each) => each.finished)
).then(() => null)"""


def assert_well_made(page: Page) -> None:
    """No fault that axe finds, nothing wider than the screen, nothing too small to hit."""
    page.evaluate(STILL)  # Colours of what is still fading in are not the final ones.
    # Of what is in order nothing is told: that would be megabytes a page.
    asked = {"runOnly": RULES, "resultTypes": ["violations"]}
    faults = Axe().run(page, options=asked).response["violations"]
    assert not [(fault["id"], fault["nodes"][0]["html"]) for fault in faults]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(SMALL) == []
