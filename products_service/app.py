"""Products: what can be ordered, at a price in whole cents."""

import apsw

from service_common.app import Service, build
from service_common.collection import Resource
from service_common.settings import Settings
from service_common.store import Row

from .models import NewProduct, Product, ProductChange


def insert(db: apsw.Connection, new: NewProduct, columns: str) -> list[Row]:
    return db.execute(
        f"INSERT INTO products (name, cents) VALUES (?, ?) RETURNING {columns}", (new.name, new.price)
    ).fetchall()


def update(db: apsw.Connection, id: int, change: ProductChange, columns: str) -> list[Row]:
    return db.execute(
        "UPDATE products SET name = ifnull(?, name), cents = ifnull(?, cents), version = version + 1"
        f" WHERE id = ? RETURNING {columns}",
        (change.name or None, change.price if change.price >= 0 else None, id),
    ).fetchall()


def create_app(settings: Settings | None = None) -> Service:
    """The products service, with its database at `settings.data_dir`/products.db."""
    products = Resource(
        name="products", item=Product, new=NewProduct, insert=insert, change=ProductChange, update=update
    )
    return build(products, __package__, settings or Settings.from_env())
