# Nodes of a Ray cluster that scores tables: `bulk/` with the exported models, and Ray itself.
#   make export && docker build -f deploy/bulk.Dockerfile -t mobilebert-bulk:1 .
FROM docker.io/library/python:3.11.13-slim-bookworm

COPY requirements/server.txt /tmp/server.txt
COPY requirements/bulk.txt /tmp/bulk.txt
# Without the server itself; every version is pinned, so nothing is resolved here.
RUN grep -hv '^nvidia-pytriton' /tmp/server.txt /tmp/bulk.txt | grep -E '^[a-zA-Z]' | sort -u > /tmp/requirements.txt \
    && pip install --no-cache-dir --no-deps -r /tmp/requirements.txt \
    && rm /tmp/*.txt

COPY bulk /app/bulk
COPY clients /app/clients
COPY durable /app/durable
COPY export /app/export
COPY serving /app/serving
COPY model_repository /app/model_repository
WORKDIR /app
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0
USER 1000:1000
CMD ["python", "-m", "bulk", "--help"]
