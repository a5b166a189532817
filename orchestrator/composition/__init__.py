"""The composition root: the only room that reads settings to build the backend, the services and the workers."""
