"""The other surfaces. Each is a folder of models, pure mapping and routes over the same services."""
