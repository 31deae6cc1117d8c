"""The three services in FastAPI, as its users write them: uvicorn with uvloop, pooled httpx, aiosqlite.

They have the same durability as ours (write-ahead log, synchronous=FULL) and the same two checks for each order. One
connection to the database stays open, and a lock separates its transactions.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosqlite
import httpx
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

SERVICE = os.environ["SERVICE"]
SCHEMAS = {
    "users": "CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT, email TEXT UNIQUE)",
    "products": "CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name TEXT, price TEXT)",
    "orders": """CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, user_id INTEGER, product_id INTEGER,
                 quantity INTEGER, product_name TEXT, unit_price TEXT)""",
}


class NewUser(BaseModel):
    name: str
    email: str


class NewProduct(BaseModel):
    name: str
    price: str


class NewOrder(BaseModel):
    user_id: int
    product_id: int
    quantity: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    path = os.path.join(os.environ["DATA_DIR"], f"fastapi-{SERVICE}.db")
    async with aiosqlite.connect(path) as db, httpx.AsyncClient(timeout=10) as client:
        await db.execute("PRAGMA journal_mode=WAL")
        await db.execute("PRAGMA synchronous=FULL")
        await db.execute(SCHEMAS[SERVICE])
        db.row_factory = aiosqlite.Row
        app.state.db, app.state.client, app.state.lock = db, client, asyncio.Lock()
        yield


app = FastAPI(lifespan=lifespan)


async def insert(sql: str, values: tuple[object, ...]) -> int:
    async with app.state.lock:
        cursor = await app.state.db.execute(sql, values)
        await app.state.db.commit()
        return cursor.lastrowid


async def read(table: str, id: int) -> dict[str, object]:
    async with app.state.db.execute(f"SELECT * FROM {table} WHERE id = ?", (id,)) as cursor:
        row = await cursor.fetchone()
    if row is None:
        raise HTTPException(404)
    return dict(row)


if SERVICE == "users":

    @app.post("/users", status_code=201)
    async def create_user(new: NewUser):
        id = await insert("INSERT INTO users (name, email) VALUES (?, ?)", (new.name, new.email))
        return {"id": id, **new.model_dump()}

    @app.get("/users/{id}")
    async def get_user(id: int):
        return await read("users", id)


if SERVICE == "products":

    @app.post("/products", status_code=201)
    async def create_product(new: NewProduct):
        id = await insert("INSERT INTO products (name, price) VALUES (?, ?)", (new.name, new.price))
        return {"id": id, **new.model_dump()}

    @app.get("/products/{id}")
    async def get_product(id: int):
        return await read("products", id)


if SERVICE == "orders":

    @app.post("/orders", status_code=201)
    async def create_order(new: NewOrder):
        user, product = await asyncio.gather(
            app.state.client.get(f"{os.environ['USERS_URL']}/users/{new.user_id}"),
            app.state.client.get(f"{os.environ['PRODUCTS_URL']}/products/{new.product_id}"),
        )
        if user.status_code != 200 or product.status_code != 200:
            raise HTTPException(422)
        found = product.json()
        id = await insert(
            "INSERT INTO orders (user_id, product_id, quantity, product_name, unit_price) VALUES (?, ?, ?, ?, ?)",
            (new.user_id, new.product_id, new.quantity, found["name"], found["price"]),
        )
        return {"id": id, **new.model_dump(), "product_name": found["name"]}
