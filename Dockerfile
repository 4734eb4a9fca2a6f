# The daemon's image: locked dependencies, no build tool, no package manager of its own, a numeric user without a home.

# The base is pinned by its digest, so that one commit builds one image; Dependabot proposes the next one.
FROM docker.io/library/python:3.13-slim@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285 AS base

FROM base AS build
# Byte code is not compared with its source's time: a builder that changes times would make every start compile again.
ENV UV_COMPILE_BYTECODE=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    UV_PYTHON=/usr/local/bin/python \
    UV_PROJECT_ENVIRONMENT=/opt/page-token-sync
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore uv==0.13.9
WORKDIR /src
# Dependencies change less often than the code, so they are a layer of their own.
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-dev --no-install-project
COPY README.md LICENSE ./
COPY sync ./sync
RUN uv sync --locked --no-dev --no-editable

FROM base
# The base image has no byte code of the standard library, and a read-only root can never keep any.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(test|tests|idlelib|turtledemo|site-packages|dist-packages)/' \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /opt/page-token-sync /opt/page-token-sync
# TOKEN is in the program's name; the variable holds an address.
# hadolint ignore=DL3064
ENV PATH=/opt/page-token-sync/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PAGE_TOKEN_SYNC_LISTEN=0.0.0.0:8087
# For state.file: a new volume of the engine's has the owner and the mode of the folder that it covers.
# The group is root's, for platforms that run the image with a user of their own.
RUN install -d -o 65532 -g 0 -m 0770 /var/lib/page-token-sync
# Set by whoever builds the image: --build-arg SOURCE=… --build-arg VERSION=… --build-arg REVISION=…
ARG SOURCE=""
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="page-token-sync" \
      org.opencontainers.image.description="Keeps Facebook Page access tokens in Vault, OpenBao and AWS Secrets Manager valid and up to date" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
EXPOSE 8087
# Healthy while the daemon's scheduler works, whatever Meta and the stores answer.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["page-token-sync", "status", "--check"]
USER 65532:65532
WORKDIR /
ENTRYPOINT ["page-token-sync"]
CMD ["run"]
