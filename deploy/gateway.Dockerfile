# The gateway and the worker of its background tasks: one image, two commands. Triton is not in it.
FROM docker.io/library/python:3.11.13-slim-bookworm

COPY requirements/server.txt /tmp/server.txt
# The server's lock file without the server itself; every version is pinned, so nothing is resolved here.
RUN grep -v '^nvidia-pytriton' /tmp/server.txt > /tmp/requirements.txt \
    && pip install --no-cache-dir --no-deps -r /tmp/requirements.txt \
    && rm /tmp/server.txt /tmp/requirements.txt \
    && install -d -o 1000 -g 1000 /data

COPY clients /app/clients
COPY durable /app/durable
COPY gateway /app/gateway
WORKDIR /app
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 1000:1000
EXPOSE 8080
CMD ["python", "-m", "gateway"]
