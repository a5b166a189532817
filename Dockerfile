FROM python:3.11.14-slim-bookworm AS build
RUN pip install --no-cache-dir "uv>=0.13,<0.14"
WORKDIR /app
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-dev --extra s3 --no-install-project
COPY LICENSE README.md ./
COPY temporal temporal
COPY orchestrator orchestrator
COPY activities activities
COPY workflows workflows
COPY api api
RUN uv sync --locked --no-dev --extra s3 --no-editable

FROM python:3.11.14-slim-bookworm
RUN useradd --create-home --uid 10001 orchestrator && mkdir /data && chown orchestrator /data
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 ORCHESTRATOR_DATA_DIR=/data
USER orchestrator
WORKDIR /data
EXPOSE 8000
ENTRYPOINT ["python", "-m", "orchestrator"]
CMD ["api", "--host", "0.0.0.0", "--port", "8000"]
