# syntax=docker/dockerfile:1

# Builds the binary from this tree, and runs it as nobody in particular on a small Debian.
#   docker build -t strandline .
#   docker run -p 127.0.0.1:3100:3100 -v strandline:/data strandline

FROM rust:1-slim-trixie AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# Only what is built: the rest of the tree (target, data) is not even sent to the builder.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY .ci .ci
COPY migrations migrations
COPY src src
COPY tests tests
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked \
    && bash .ci/split-debug target/release/strandline /out \
    && install -d -m 0700 /out/data

FROM debian:trixie-slim
# The debug file stays in the stage before: `docker build --target build`.
COPY --from=build /out/strandline /usr/local/bin/strandline
# The folder exists with its owner, so that a fresh volume mounted there belongs to the server.
COPY --from=build --chown=10001:10001 /out/data /data
USER 10001:10001
VOLUME /data
EXPOSE 3100
# The container's own network is the boundary here: publish the port to 127.0.0.1 unless others shall reach it.
ENTRYPOINT ["strandline"]
CMD ["serve", "--http-listen", "0.0.0.0:3100", "--data-dir", "/data"]
