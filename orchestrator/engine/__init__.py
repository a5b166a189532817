"""The client side of Temporal: connection, gateway, history, worker, server."""
