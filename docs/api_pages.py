"""Pages of the API: each `::: name` of api.md becomes a row of a table, and a page.

A hook of mkdocs.
"""

import re
from pathlib import Path

import griffe
from mkdocs.structure.files import File, InclusionLevel

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "examples"
ENTRY = re.compile(r"^::: (\S+)\n*", re.MULTILINE)
ENTRIES = re.compile(r"(?:^::: \S+\n*)+", re.MULTILINE)

PAGE = """\
---
title: {title}
---

[API](../api.md)

::: {name}
    options:
      heading_level: 1
      show_source: true
      summary: true

{examples}
"""


def on_files(files, config):
    """Add the pages."""
    for name in ENTRY.findall((DOCS / "api.md").read_text()):
        title = name.rpartition(".")[2]
        content = PAGE.format(title=title, name=name, examples=examples_with(title))
        source, place = f"api/{name}.md", InclusionLevel.NOT_IN_NAV
        page = File.generated(config, source, content=content, inclusion=place)
        files.append(page)
    return files


def on_page_markdown(markdown, page, **kwargs):
    """Turn the entries of api.md into tables of names and summaries."""
    if page.file.src_uri != "api.md":
        return markdown
    package = griffe.load("diffrep", resolve_aliases=True)

    def table(match):
        rows = ["| Name | What it is |", "|---|---|"]
        for name in ENTRY.findall(match[0]):
            label = name.removeprefix("diffrep.")
            docstring = package[label].docstring.value
            summary = docstring.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
            rows.append(f"| [`{label}`](api/{name}.md) | {summary} |")
        return "\n".join(rows) + "\n\n"

    return ENTRIES.sub(table, markdown)


def examples_with(name):
    """Section with the examples of the gallery that use a name."""
    links = []
    for script in sorted(EXAMPLES.rglob("plot_*.py")):
        text = script.read_text()
        if re.search(rf"\b{name}\b", text):
            title = text.splitlines()[1]
            place = f"{script.parent.name}/{script.stem}.md"
            links.append(f"- [{title}](../generated/gallery/{place})")
    return "\n".join(["## Examples using it", "", *links]) if links else ""
