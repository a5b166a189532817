# The image with a plugin: a folder beside this file with a pyproject.toml, or any requirement.
#   docker compose build
#   docker build --file plugins.Dockerfile --tag orchestrator:plugins .
#   ORCHESTRATOR_IMAGE=orchestrator:plugins docker compose up --no-build
FROM orchestrator:local
USER root
COPY my_plugin /src/my_plugin
RUN /usr/local/bin/pip --python /app/.venv/bin/python install --no-cache-dir /src/my_plugin
USER orchestrator
ENV ORCHESTRATOR_PLUGINS=my_plugin
