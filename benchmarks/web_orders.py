"""The transaction of a web backend that the benchmark ``outbox`` measures: an order with SQLAlchemy."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Barrier, Thread
from time import perf_counter
from typing import Final

from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from smsapi_async import Message
from smsapi_async.postgres import enqueue

_PRODUCTS = 1000
_TEXT = "Ваш заказ отправлен"
Way = Callable[[Session, "ShopOrder"], None]


class Base(DeclarativeBase):
    """The base class of the tables."""


class Product(Base):
    """A product in stock."""

    __tablename__ = "shop_products"
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int]
    stock: Mapped[int]


class ShopOrder(Base):
    """An order with its lines."""

    __tablename__ = "shop_orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    phone: Mapped[str]
    total: Mapped[int]
    at: Mapped[datetime]
    lines: Mapped[list["OrderLine"]] = relationship()


class OrderLine(Base):
    """One product of an order."""

    __tablename__ = "shop_order_lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("shop_orders.id"))
    product_id: Mapped[int]
    price: Mapped[int]


class OwnOutboxRow(Base):
    """A message in a table of the backend's own, which is what one would write without this package."""

    __tablename__ = "shop_outbox"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    phone: Mapped[str]
    text: Mapped[str]
    due: Mapped[datetime] = mapped_column(index=True)


def _enqueue(session: Session, order: ShopOrder) -> None:
    enqueue(session, Message(order.phone, _TEXT, key=f"shipped {order.id}"))


def _add_own_row(session: Session, order: ShopOrder) -> None:
    key, due = f"shipped {order.id}", datetime.now(UTC)
    session.add(OwnOutboxRow(key=key, phone=order.phone, text=_TEXT, due=due))


def _no_message(session: Session, order: ShopOrder) -> None:
    """Add nothing to the transaction."""


WAYS: Final = (_no_message, _enqueue, _add_own_row)
"""What a transaction does with the message: none, `enqueue`, and a row in a table of the backend's own."""


class Shop:
    """A web backend with one connection for each of its threads.

    Args:
        dsn: the URL of a database with the tables of this package.
        connections: the largest number of threads.
    """

    def __init__(self, dsn: str, connections: int) -> None:
        url = dsn.replace("postgresql://", "postgresql+psycopg://", 1)
        self._engine = create_engine(url, pool_size=connections)
        Base.metadata.create_all(self._engine)
        with Session(self._engine) as session, session.begin():
            session.add_all([Product(id=number, price=100, stock=10**6) for number in range(_PRODUCTS)])

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def rate(self, seconds: float, way: Way, callers: int) -> float:
        """Return the number of committed orders per second of all threads together.

        Args:
            seconds: the duration of the measurement.
            way: one of `WAYS`.
            callers: the number of threads.
        """
        counts = [0] * callers
        start = Barrier(callers)

        def run(thread: int) -> None:
            start.wait()
            end = perf_counter() + seconds
            while perf_counter() < end:
                self._order(way)
                counts[thread] += 1

        threads = [Thread(target=run, args=(thread,)) for thread in range(callers)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return sum(counts) / seconds

    def _order(self, way: Way) -> None:
        """Commit one order: read a product, reduce its stock, and insert the order with two lines."""
        with Session(self._engine) as session, session.begin():
            number = secrets.randbelow(_PRODUCTS)
            product = session.scalars(select(Product).where(Product.id == number)).one()
            product.stock -= 2
            lines = [OrderLine(product_id=number, price=product.price) for _ in range(2)]
            order = ShopOrder(phone="79031234567", total=200, at=datetime.now(UTC), lines=lines)
            session.add(order)
            session.flush()
            way(session, order)
