# The device part with DICOM, for amd64 and arm64: docker buildx build --platform linux/amd64,linux/arm64 -t edge-seg .
# Research use only, not for diagnosis.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY edge edge
COPY train train
COPY quantize quantize
COPY benchmarks benchmarks
RUN python -m venv /opt/edge-seg \
    && /opt/edge-seg/bin/pip install --no-cache-dir --constraint constraints.txt '.[clinic]'

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/edge-seg --shell /usr/sbin/nologin edge-seg
COPY --from=build /opt/edge-seg /opt/edge-seg
ENV PATH=/opt/edge-seg/bin:$PATH PYTHONUNBUFFERED=1
USER edge-seg
WORKDIR /var/lib/edge-seg
VOLUME /var/lib/edge-seg
EXPOSE 11112 8080
HEALTHCHECK --interval=30s --timeout=5s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["edge-seg"]
CMD ["run", "--listen", "0.0.0.0:11112", "--view", "0.0.0.0:8080", "--out", "/var/lib/edge-seg/results"]
