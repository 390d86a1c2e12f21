# The `baton` command in a small image: `docker build -t baton .`
#
# The version of Rust is the one of rust-toolchain.toml. That file itself is left out: it also asks for rustfmt and
# clippy, which the image lacks and the build does not need.
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY tests tests
COPY benches benches
COPY examples examples
# The pages that `baton explain` prints.
COPY docs/errors docs/errors
RUN cargo build --release --locked -p baton-cli --bin baton

FROM debian:bookworm-slim
# The roots of trust, for servers behind TLS.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home baton
COPY --from=build /src/target/release/baton /usr/local/bin/baton
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["baton"]
CMD ["--help"]
