"""What all our HTML pages are rendered with: templates that escape, and files beside them."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

BASE_STYLE = ("mmfm.reports", "templates/report.css")  # the look of all our pages


def page_templates(package: str, **helpers: Any) -> Environment:
    """The templates of a package, with `helpers` to call in them. They escape; unknown names are errors."""
    templates = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(helpers)
    return templates


def file_text(package: str, name: str) -> Markup:
    """A style sheet or script of a package, to stand in a page as it is."""
    return Markup((resources.files(package) / name).read_text(encoding="utf-8"))
