"""The built site: links, pictures, search, and every page in a browser.

    make docs

builds the site and runs these tests, with the Chromium of the system.
"""

import functools
import http.server
import json
import re
import shutil
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1100, "height": 800}

#: Attributes by which a page loads something, by tag.
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src"}


class Page(HTMLParser):
    """Anchors and links of a page, and the files that it loads."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values.get("id"), values.get("name")}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        canonical = values.get("rel") in {"canonical", "next", "prev"}
        if LOADED.get(tag) in values and not canonical:
            self.loads.append(values[LOADED[tag]])


@pytest.fixture(scope="module")
def site(request):
    folder = request.config.getoption("--site")
    if folder is None:
        pytest.skip("`make docs` builds the site and passes its folder as --site")
    return Path(folder).resolve()


@pytest.fixture(scope="module")
def pages(site):
    """Pages by their path in the site."""
    return {
        path.relative_to(site).as_posix(): Page(path.read_text())
        for path in sorted(site.rglob("*.html"))
        if path.name != "404.html"  # its links are relative to the host
    }


@pytest.fixture(scope="module")
def address(site):
    """Address at which the site is served."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is an extra for the documentation"
    )
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def leads_somewhere(name, link, site, pages):
    """Whether a link on a page has a target; other hosts are not contacted."""
    url = urlsplit(link)
    if url.scheme:
        return url.scheme in {"http", "https"} and "." in url.netloc
    path = site / unquote(urljoin(f"/{name}", url.path)).lstrip("/")
    path = path / "index.html" if path.is_dir() else path
    page = pages.get(path.relative_to(site).as_posix())
    has_place = not url.fragment or page is None or unquote(url.fragment) in page.ids
    return path.is_file() and has_place


def test_links_have_targets(site, pages):
    assert not [
        (name, link)
        for name, page in pages.items()
        for link in page.links
        if not leads_somewhere(name, link, site, pages)
    ]


def test_pages_load_nothing_from_other_hosts(site, pages):
    loaded = {url for page in pages.values() for url in page.loads}
    assert not {url for url in loaded if urlsplit(url).netloc}
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text())


@pytest.mark.parametrize("script", sorted(EXAMPLES.rglob("plot_*.py")), ids=str)
def test_examples_have_pictures(site, script):
    folder = site / "generated/gallery" / script.parent.name
    assert (folder / script.stem / "index.html").is_file()
    pictures = list((folder / "images").glob(f"mkd_glr_{script.stem}_*.png"))
    assert pictures
    assert all(picture.stat().st_size > 2000 for picture in pictures)


def test_search_finds_a_parameter(site, browser, address):
    index = json.loads((site / "search/search_index.json").read_text())
    texts = " ".join(entry["title"] + " " + entry["text"] for entry in index["docs"])
    for word in ("t_grid", "t-SNE", "anomaly", "latency", "PNG", "CSV", "signals"):
        assert word in texts
    assert "def transform(self" not in texts  # source code is not searched
    page = browser.new_page(viewport=DESK)
    page.goto(address)
    page.locator("input[name=query]").press_sequentially("t_grid")  # ready for keys
    page.locator(".md-search-result__item").first.wait_for()
    assert "t_grid" in page.locator(".md-search-result__list").inner_text()
    page.close()


def test_examples_are_copied_without_prompts(browser, address):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{address}getting_started/")
    block = page.locator(".highlight", has_text=">>> codes.shape").first
    block.hover()
    block.locator("button").first.click()
    page.wait_for_timeout(200)
    copied = page.evaluate("navigator.clipboard.readText()")
    shown = block.inner_text()
    context.close()
    code = [line for line in shown.splitlines() if line.startswith((">>> ", "... "))]
    expected = [line[4:] for line in code]
    assert copied.splitlines() == expected
    assert "(178, 8)" in shown
    assert "(178, 8)" not in copied


def test_pages_in_a_browser(site, pages, browser, address):
    page = browser.new_page()
    # The search index takes a third of the time; the search is tested above.
    index = json.loads((site / "search/search_index.json").read_text()) | {"docs": []}
    page.route("**/search_index.json", lambda route: route.fulfill(json=index))
    faults = []
    page.on("console", lambda m: m.type == "error" and faults.append((name, m.text)))
    page.on("pageerror", lambda error: faults.append((name, str(error))))
    page.on(
        "request", lambda r: r.url.startswith(address) or faults.append((name, r.url))
    )
    for name in pages:
        page.set_viewport_size(DESK)
        page.goto(address + name, wait_until="load")
        for size in (DESK, PHONE):
            page.set_viewport_size(size)
            width = page.evaluate("document.body.scrollWidth")
            if width > size["width"]:
                faults.append((name, f"{width} pixels wide on {size['width']}"))
    page.close()
    assert not faults
