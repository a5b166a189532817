"""The tests here stand as their document prints them (M-046, M-047); what they need runs beside them."""

from tests.environment import stack

__all__ = ["stack"]
