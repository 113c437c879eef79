"""A web backend with SQLAlchemy and asyncio, which enqueues a message in the transaction of an order."""

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from smsapi_async import Message
from smsapi_async.postgres import aenqueue


class Base(DeclarativeBase):
    """The base class of the tables."""


class Order(Base):
    """An order."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    phone: Mapped[str]


async def ship(engine: AsyncEngine, order: Order) -> None:
    """Store an order, and send a message if and only if this transaction commits."""
    async with AsyncSession(engine) as db, db.begin():
        db.add(order)
        await db.flush()
        await aenqueue(db, Message(order.phone, "Your order has shipped", key=f"shipped {order.id}"))
