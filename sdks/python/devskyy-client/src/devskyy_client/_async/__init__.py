"""The client for asyncio. `devskyy_client._sync` is made from it by `sdks/python/make_sync.py`."""
