# seawall in a container. Built by: docker build -t seawall .
# The tags name exact versions (debian:12.11 is bookworm); a digest could not be looked up where this was written, so add one
# (image:tag@sha256:…) if you need the very same bytes each time.

FROM rust:1.95.0-slim-bookworm AS build
# The image has a C compiler, which SQLite, zstd and the TLS library need.
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin seawall

FROM debian:12.11-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 seawall \
    && useradd --system --uid 10001 --gid seawall --home-dir /var/lib/seawall --shell /usr/sbin/nologin seawall \
    && install -d -o seawall -g seawall -m 0700 /var/lib/seawall
COPY --from=build /src/target/release/seawall /usr/local/bin/seawall
USER seawall
# Keys and the catalog: losing them costs a slow backup, and a new key.
ENV SEAWALL_STATE_DIR=/var/lib/seawall
VOLUME /var/lib/seawall
ENTRYPOINT ["seawall"]
