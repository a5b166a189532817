"""The other surfaces: each a folder of wire models, pure mapping and routes over the same services."""
