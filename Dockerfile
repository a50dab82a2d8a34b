# The collector. Compiled dependencies stay in the builder's cache from one build to the next.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package collector \
    && install target/release/collector /usr/local/bin/collector

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --user-group atlas
COPY --from=build /usr/local/bin/collector /usr/local/bin/collector
USER atlas
# REST and gRPC
EXPOSE 5000 5001
ENTRYPOINT ["collector"]
