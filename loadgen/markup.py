"""What is shown as HTML: complete pages that load nothing from elsewhere."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).with_name("templates")


def figure(value: object) -> str:
    """A value as it stands in a table: thousands marked, decimals only where they say something."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


_environment = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_environment.filters["figure"] = figure
for _name in ("style", "report"):
    _css = (TEMPLATES / f"{_name}.css").read_text(encoding="utf-8")
    _environment.globals[f"{_name}_css"] = Markup(_css)  # noqa: S704 - our own


def render(template: str, **values: object) -> str:
    """A page from one of our templates; every value is text and not markup, unless it says that it is."""
    return _environment.get_template(template).render(**values)


def audit_page() -> str:
    """The page that shows the state of the last run, and asks for it again and again."""
    return render("audit.html")
