"""Products: what can be ordered, at a price in whole cents."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from service_common.factory import build
from service_common.http import problem_kinds as kinds
from service_common.http.application import Application
from service_common.http.problems import Problem
from service_common.resource.declaration import Resource
from service_common.settings import Settings
from service_common.storage.database import Row, Table

from . import stock_openapi
from .models import NewProduct, Product, ProductChange
from .stock import IN_USE, IS_OPEN, IS_SOLD
from .stock_routes import StockRoutes

TABLE = Table(
    name="products",
    answers=tuple(Product.model_fields),
    fields=("name", "cents", "stock"),
    insert="INSERT INTO products (id, name, cents, stock) SELECT id, name, cents, stock FROM new",
    update=f"""
        UPDATE products SET name = coalesce(change.name, products.name),
            cents = coalesce(change.cents, products.cents),
            stock = CASE WHEN change.stock < 0 THEN products.stock ELSE change.stock END, version = products.version + 1
        FROM change WHERE products.id = change.id AND (coalesce(change.stock, 0) < 0 OR NOT ({IS_OPEN} OR {IS_SOLD}))
    """,
    in_use=IS_OPEN,
)


def rows(products: Sequence[NewProduct]) -> list[Row | Problem]:
    return [(new.name, new.price, new.stock) for new in products]


def changed(change: ProductChange) -> Row:
    return change.name or None, change.price if change.price >= 0 else None, change.stock


def create_app(settings: Settings | None = None) -> Application:
    """Return the products service, with its database at `settings.data_dir`/products.db."""
    registry = CollectorRegistry()
    products = Resource(
        table=TABLE,
        item=Product,
        new=NewProduct,
        rows=rows,
        change=ProductChange,
        changed=changed,
        problems=(kinds.OUT_OF_STOCK, IN_USE),
        in_use=(IN_USE, "Units of the product are reserved, or sold."),
        more_paths=stock_openapi.PATHS,
        polled=("/products/reservations",),
        more_bodies=stock_openapi.BODIES,
    )
    app = build(products, __package__, settings or Settings.from_env(), registry)
    StockRoutes(products, app).init_app(app, registry)
    return app
