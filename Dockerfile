# The programs of ATLAS, each an image of its own: docker build --target collector (or threshold-engine, alert-service, or atlas).
# Compiled dependencies stay in the builder's cache from one build to the next.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package collector --package threshold-engine --package alert-service --package atlas \
    && install --strip -D --target-directory=/out target/release/collector target/release/threshold-engine target/release/alert-service target/release/atlas
# Readable for the user of the programs, also after a clone under a strict umask.
RUN cp -r threshold-engine/patterns /out/patterns && chmod -R u=rwX,go=rX /out/patterns

# The C library and certificates of authorities, and nothing else: no shell, no package manager. User 65532.
FROM gcr.io/distroless/cc-debian12:nonroot AS runtime
WORKDIR /etc/atlas

FROM runtime AS collector
COPY --from=build /out/collector /usr/local/bin/collector
# REST and gRPC
EXPOSE 5000 5001
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 CMD ["collector", "health"]
ENTRYPOINT ["collector"]

FROM runtime AS threshold-engine
COPY --from=build /out/threshold-engine /usr/local/bin/threshold-engine
COPY --from=build /out/patterns /etc/atlas/patterns
# REST and gRPC
EXPOSE 5100 5101
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 CMD ["threshold-engine", "health"]
ENTRYPOINT ["threshold-engine"]

FROM runtime AS alert-service
COPY --from=build /out/alert-service /usr/local/bin/alert-service
# REST and gRPC
EXPOSE 8082 8083
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 CMD ["alert-service", "health"]
ENTRYPOINT ["alert-service"]

FROM runtime AS atlas
COPY --from=build /out/atlas /usr/local/bin/atlas
ENTRYPOINT ["atlas"]
