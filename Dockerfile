# The daemon without systemd: the release that `sudo make install` makes, in /opt/mien.
#   docker build --tag mien .
# For amd64 and arm64. BASE can be any image with Python 3.11 to 3.13, pip and venv. The first FROM
# names the default, pinned by digest for all architectures; dependabot or `make pin` keeps it new.
ARG BASE=python

FROM python:3.13.14-slim-bookworm@sha256:67a1e1f215ccda113cfc024e8639049257e88f273898f595b61476d128d387e8 AS python

FROM ${BASE} AS build
WORKDIR /source
COPY . .
RUN python3 -B models/fetch_blazeface.py && python3 -B -m deploy build

FROM ${BASE}
# Members of `video`, which has Debian's group number, may open cameras.
RUN useradd --system --uid 10001 --user-group --groups video --home-dir /var/lib/mien --create-home mien \
    && install --directory --owner=mien --group=mien /var/log/mien
COPY --from=build /opt/mien /opt/mien
ENV MIEN_WEB_HOST=0.0.0.0 \
    MIEN_EVENTS_PATH=/var/log/mien/events.jsonl \
    MIEN_SNAPSHOTS_PATH=/var/lib/mien/snapshots \
    MIEN_MODELS_FOLDER=/var/lib/mien/models
USER 10001
WORKDIR /opt/mien/current
VOLUME ["/var/log/mien", "/var/lib/mien"]
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["venv/bin/python", "-m", "deploy.health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["venv/bin/python", "-m", "edge_daemon"]
CMD ["run", "--config", "config.yaml"]
