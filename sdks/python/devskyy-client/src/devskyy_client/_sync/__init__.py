"""The client for threads, made from `devskyy_client._async` by `sdks/python/make_sync.py`."""
