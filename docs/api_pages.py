"""Pages of the API: each `::: name` of api.md becomes a row of a table, and a page.

A hook of mkdocs, and extensions of griffe, which reads the package for these pages.
"""

import re
from pathlib import Path

import griffe
from mkdocs.structure.files import File, InclusionLevel

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "examples"
ENTRY = re.compile(r"^::: (\S+)\n*", re.MULTILINE)
ENTRIES = re.compile(r"(?:^::: \S+\n*)+", re.MULTILINE)
NAMES = ENTRY.findall((DOCS / "api.md").read_text())
FULL_NAMES = {name.rpartition(".")[2]: name for name in NAMES}

#: ``:class:`diffrep.SDE` ``, and ``SDE : What it is.`` under "See Also".
ROLE = re.compile(r":\w+:`~?([\w.]+)`")
SEE_ALSO = re.compile(r"^( *)([\w.]+) : ", re.MULTILINE)

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
    for title, name in FULL_NAMES.items():
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


def on_page_content(html, **kwargs):
    """Keep source code out of the search."""
    source = '<details class="mkdocstrings-source"'
    return html.replace(source, f"{source} data-search-exclude")


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


class Constants(griffe.Extension):
    """Drop parameters that a subclass made constants, by ClassVar, from signatures.

    The signatures are those that griffe's own extension makes of dataclasses.
    """

    def on_package(self, *, pkg, **kwargs):
        """Look through all classes of a package, after griffe's own extension."""
        for module in pkg.modules.values():
            self.on_package(pkg=module)
        for cls in pkg.classes.values():
            made = None if cls.is_alias else cls.members.get("__init__")
            for name, member in cls.members.items() if made else ():
                if member.labels == {"class-attribute"} and name in made.parameters:
                    del made.parameters[name]


class Links(griffe.Extension):
    """Let names of the API in docstrings lead to their pages."""

    def on_object(self, *, obj, **kwargs):
        """Rewrite the docstring of an object."""
        if obj.docstring is None:
            return
        text = ROLE.sub(lambda match: linked(match[1]), obj.docstring.value)
        head, title, rest = text.partition("See Also\n--------\n")
        rest = SEE_ALSO.sub(lambda match: f"{match[1]}- {linked(match[2])}: ", rest)
        obj.docstring.value = head + title + rest


def linked(name):
    """Link to the page of an object, if it has one."""
    full = FULL_NAMES.get(name.rpartition(".")[2])
    return f"[`{name}`][{full}]" if full else f"`{name}`"
