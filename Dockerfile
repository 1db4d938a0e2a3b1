# NVIDIA's Triton (with the C++ onnxruntime backend) and the tokenizer's two packages. The models are not in the
# image: they are exported on the host (`make export`) and mounted, so that a new version needs no new image.
ARG TRITON_RELEASE=26.09
FROM nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3

COPY deploy/requirements.txt /tmp/requirements.txt
# The image's Python belongs to its distribution, which is what --break-system-packages is about.
RUN python3 -m pip install --no-cache-dir --break-system-packages --no-deps --require-hashes \
        -r /tmp/requirements.txt \
    && rm /tmp/requirements.txt

COPY deploy/serve-models.sh /usr/local/bin/serve-models

# The Python backend can't write its bytecode beside a read-only mounted model.
ENV PYTHONDONTWRITEBYTECODE=1
# triton-server in NVIDIA's image; by number, so that a cluster can verify that it is not root.
USER 1000:1000
EXPOSE 8000 8001 8002

# NVIDIA's own entrypoint stays: it sets up CUDA's forward compatibility with older drivers.
CMD ["serve-models"]
