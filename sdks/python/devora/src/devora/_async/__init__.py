"""The client for asyncio. `devora._sync` is made from this package by `sdks/python/make_sync.py`."""
