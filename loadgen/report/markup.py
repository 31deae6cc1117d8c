"""Pages from templates: complete HTML that loads nothing from elsewhere."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).with_name("templates")


def figure(value: object) -> str:
    """Return a value for a table: with thousands separators, decimals only where they matter."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


_environment = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_environment.filters["figure"] = figure
_environment.filters["first_up"] = lambda text: text[:1].upper() + text[1:]
for _name in ("style", "report"):
    _css = (TEMPLATES / f"{_name}.css").read_text(encoding="utf-8")
    _environment.globals[f"{_name}_css"] = Markup(_css)  # noqa: S704 - our own


def style() -> str:
    """Return the style sheet that all pages share."""
    return (TEMPLATES / "style.css").read_text(encoding="utf-8")


def render(template: str, **values: object) -> str:
    """Return a page from one of our templates; every value is escaped, unless it is Markup."""
    return _environment.get_template(template).render(**values)


def render_page(path: Path, **values: object) -> str:
    """Return a page from a template anywhere; every value is escaped, unless it is Markup."""
    return _environment.from_string(path.read_text(encoding="utf-8")).render(**values)
