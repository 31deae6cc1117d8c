"""The three services as tutorials write them: a connection and a commit for each request, `requests.get` for each check.

They have the same durability as ours (write-ahead log, synchronous=FULL) and the same two checks for each order.
"""

import os
import sqlite3

import requests
from flask import Flask, abort, g, request

SCHEMAS = {
    "users": "CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT, email TEXT UNIQUE)",
    "products": "CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name TEXT, price TEXT)",
    "orders": """CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, user_id INTEGER, product_id INTEGER,
                 quantity INTEGER, product_name TEXT, unit_price TEXT)""",
}


def connect(service: str) -> sqlite3.Connection:
    db = sqlite3.connect(os.path.join(os.environ["DATA_DIR"], f"tutorial-{service}.db"), timeout=30)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.row_factory = sqlite3.Row
    return db


def create_app(service: str) -> Flask:
    """Return the service called `service`: users, products or orders."""
    app = Flask(service)
    with connect(service) as db:
        db.execute(SCHEMAS[service])

    @app.before_request
    def open_database() -> None:
        g.db = connect(service)

    @app.teardown_request
    def close_database(_error: BaseException | None) -> None:
        g.db.close()

    if service == "orders":

        @app.post("/orders")
        def create_order():
            new = request.get_json()
            user = requests.get(f"{os.environ['USERS_URL']}/users/{new['user_id']}", timeout=10)
            product = requests.get(f"{os.environ['PRODUCTS_URL']}/products/{new['product_id']}", timeout=10)
            if user.status_code != 200 or product.status_code != 200:
                abort(422)
            found = product.json()
            with g.db:
                cursor = g.db.execute(
                    "INSERT INTO orders (user_id, product_id, quantity, product_name, unit_price) VALUES (?, ?, ?, ?, ?)",
                    (new["user_id"], new["product_id"], new["quantity"], found["name"], found["price"]),
                )
            return {"id": cursor.lastrowid, **new, "product_name": found["name"]}, 201

        return app

    columns = ("name", "email") if service == "users" else ("name", "price")

    @app.post(f"/{service}")
    def create():
        new = request.get_json()
        with g.db:
            cursor = g.db.execute(
                f"INSERT INTO {service} ({', '.join(columns)}) VALUES (?, ?)", [new[column] for column in columns]
            )
        return {"id": cursor.lastrowid, **new}, 201

    @app.get(f"/{service}/<int:id>")
    def get(id: int):
        row = g.db.execute(f"SELECT * FROM {service} WHERE id = ?", (id,)).fetchone()
        return dict(row) if row else abort(404)

    return app
