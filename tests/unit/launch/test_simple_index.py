"""The pages of a package index, as PEP 503 and PEP 691 have them."""

import json
from html.parser import HTMLParser

from arrstack.launch.simple_index import IndexedWheel, pages

TORCH = IndexedWheel("torch-2.6.0+a-cp313-cp313-linux_x86_64.whl", "ab" * 32, 7)
DOTTED = IndexedWheel("A_b.C-1.0-py3-none-any.whl", "cd" * 32, 8)


class Links(HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attrs if tag == "a" and name == "href"]


def test_a_project_has_a_page_by_its_normalized_name() -> None:
    made = pages([TORCH, DOTTED])
    assert Links(made["simple/index.html"]).found == ["a-b-c/", "torch/"]
    assert set(made) == {f"simple/{p}index.{kind}" for p in ("", "a-b-c/", "torch/") for kind in ("html", "v1_json")}


def test_a_link_leads_to_the_file_beside_the_index_and_holds_its_sum() -> None:
    (link,) = Links(pages([TORCH])["simple/torch/index.html"]).found
    assert link == f"../../torch-2.6.0%2Ba-cp313-cp313-linux_x86_64.whl#sha256={'ab' * 32}"


def test_the_json_has_what_pep_691_and_700_demand() -> None:
    page = json.loads(pages([TORCH])["simple/torch/index.v1_json"])
    assert (page["meta"], page["name"], page["versions"]) == ({"api-version": "1.1"}, "torch", ["2.6.0+a"])
    (file,) = page["files"]
    assert (file["filename"], file["hashes"], file["size"]) == (TORCH.file, {"sha256": TORCH.sha256}, 7)
