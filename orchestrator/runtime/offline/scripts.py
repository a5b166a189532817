"""Drafts of shell scripts and container files."""

import shlex

from orchestrator.agents.artifacts import Artifact
from orchestrator.runtime.offline.answer import NOTICE_LINE
from orchestrator.runtime.offline.subject import Subject
from orchestrator.runtime.offline.words import clean, kebab

_DEPLOY = """\
#!/usr/bin/env bash
# {notice}
# {head}
set -euo pipefail

readonly project={project}
readonly image="${{IMAGE:-{slug}:latest}}"
readonly health_url="${{HEALTH_URL:-http://127.0.0.1:8000/health}}"
readonly parts=({parts})

previous="$(docker inspect --format '{{{{.Config.Image}}}}' {slug} 2>/dev/null || true)"

run_image() {{
  docker rm --force {slug} >/dev/null 2>&1 || true
  docker run --detach --name {slug} --publish 8000:8000 "$1"
}}

healthy() {{
  for _ in $(seq 1 30); do
    curl --fail --silent --max-time 2 "$health_url" >/dev/null && return 0
    sleep 1
  done
  return 1
}}

echo "Deploying $project: $image with ${{#parts[@]}} parts"
run_image "$image"
if ! healthy; then
  echo "Not healthy; rolling back to ${{previous:-nothing}}" >&2
  [ -n "$previous" ] && run_image "$previous"
  exit 1
fi
echo "Deployed $project"
"""
_PYTHON_IMAGE = """\
FROM python:3.12-slim
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir . && useradd --create-home app
USER app
EXPOSE 8000
HEALTHCHECK CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health')"
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"]
"""
_NODE_IMAGE = """\
FROM node:22-slim
WORKDIR /app
COPY package*.json ./
RUN npm ci --omit=dev
COPY . .
USER node
EXPOSE 8000
HEALTHCHECK CMD node -e "fetch('http://127.0.0.1:8000/health').then(r => process.exit(r.ok ? 0 : 1))"
CMD ["node", "server.js"]
"""


def shell_file(artifact: Artifact, subject: Subject) -> str:
    """A deployment script with health check and roll-back."""
    return _DEPLOY.format(
        notice=NOTICE_LINE,
        head=clean(f"{subject.name}: {artifact.purpose}"),
        project=shlex.quote(clean(subject.name)),
        slug=subject.slug,
        parts=" ".join(shlex.quote(kebab(point.name)) for point in subject.resources),
    )


def container_file(artifact: Artifact, subject: Subject) -> str:
    """An image for the stack that the input names, Python by default."""
    python = subject.uses("python", "fastapi", "django", "flask")
    image = _NODE_IMAGE if subject.uses("node", "typescript", "javascript", "express") and not python else _PYTHON_IMAGE
    label = f'LABEL org.opencontainers.image.title="{subject.slug}"\n'
    start, rest = image.split("\n", 1)
    return f"# {NOTICE_LINE}\n# {clean(subject.name)}: {artifact.purpose}\n{start}\n{label}{rest}"
