from ..fleet import Fleet
import requests

def test_an_order(fleet: Fleet) -> None:
    u = requests.post(f"{fleet.users.url}/users", json={"name": "Ada", "email": "ada@example.com"})
    assert u.status_code == 201
def test_stop(own_fleet):
    import time
    requests.post(f"{own_fleet.users.url}/users", json={"name": "Ada", "email": "ada@example.com"})
    p = requests.post(f"{own_fleet.products.url}/products", json={"name": "Ada", "price": "1"})
    o = requests.post(f"{own_fleet.orders.url}/orders", json={"user_id": 1, "product_id": 1, "quantity": 3})
    assert o.status_code == 201
    s = requests.Session(); s.get(own_fleet.users.url)
    for p in own_fleet.all:
        t = time.time(); assert p.stop() == 0; print(p.service, time.time() - t); print(p.logged()[-1500:])
    assert 0
