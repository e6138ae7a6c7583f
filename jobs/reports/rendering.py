"""From a template of this folder to a page: one file that loads nothing."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write the template, filled with the values, to `path`; text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(**values)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A file name may hold bytes that are no text; the store writes them as lone surrogates.
    path.write_bytes(page.encode("utf-8", "replace"))
